"""The page of a flow's test: whole and valid for every kind of result, and without overflow in a real browser."""

import io
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from browser import chromium, find_chromium
from rich.console import Console
from test_report_page import OVERLAPS

from stillhouse.cli.tested import shown
from stillhouse.evaluation.composability import Composed, composability_gap
from stillhouse.records import Estimate
from stillhouse.report.test_page import render_test
from stillhouse.results.flow_test import (
    Against,
    CaseResult,
    FlowResult,
    Missing,
    PartResult,
    PathResult,
    load_tested,
    to_json,
)
from stillhouse.runs import write_json

EVIL = "<script>alert('&')</script>"


def case(number, score, cause=None, at=None, output="There are 3."):
    return CaseResult(
        id=f"case {number}",
        key="key",
        score=score,
        expected="There are 4.",
        output=output,
        error=None,
        run=f"run-{number}",
        latency_s=0.4,
        cost_usd=0.001,
        path=("route=sql", "to_sql"),
        cause=cause,
        at=at,
    )


def part(name, kind, right, wrong):
    rows = (*(case(number, 1.0) for number in range(right)), *wrong)
    n = right + len(wrong)
    return PartResult(
        name=name,
        kind=kind,
        metrics=("equal",),
        score=Estimate(right / n, n, 0.6, 0.95, 0.95, "Clopper-Pearson"),
        rows=rows,
        cost_usd_per_1000=1.25,
        latency_p50_s=0.4,
    )


def full():
    wrong = (
        case(90, 0.0, "branch", "route"),
        case(91, 0.0, "whole", None, EVIL),
        case(92, 0.0, "step", "to_sql", "x" * 5000),
    )
    runs = [
        Composed(f"{number}", ("route", "to_sql") if number % 2 else ("route", "pages"), (True,), number > 3)
        for number in range(40)
    ]
    missing = (Missing("case 7", "route", '{"question": "how many?"}', "no answer"),)
    long = part("a_step_with_a_very_long_name_" * 4, "step", 3, ())
    parts = (part("route", "step", 18, (case(80, 0.0, output=EVIL),)), long, part("main", "whole", 37, wrong))
    against = (
        Against(
            name="main",
            answer="fail",
            difference=Estimate(-0.1, 40, -0.2, -0.03, 0.95, "Tango"),
            lower_bound=-0.18,
            p=0.01,
            n_left_out=0,
            sentence="the whole is 10 points worse",
        ),
    )
    paths = (
        PathResult("p1", ("route=sql", "to_sql"), ("it should call rows",), "r"),
        PathResult("p2", ("route=search",), (), "r2"),
    )
    models = {"route": "student:runs/route-distill-1", "*": "openai:gpt-6-luna"}
    gap = composability_gap(runs, n_calls=90)
    return FlowResult(
        flow="main",
        app="app.py:main",
        created="2026-11-24T10:00:00Z",
        models=models,
        offline=True,
        parts=parts,
        paths=paths,
        gap=gap,
        missing=missing,
        baseline="runs/tests-1.json",
        margin=0.02,
        against=against,
    )


def steps_alone():
    return FlowResult(
        flow="main",
        app="app.py:main",
        created="2026-11-24T10:00:00Z",
        models={},
        offline=False,
        parts=(part("route", "step", 9, ()),),
        paths=(),
        gap=None,
        missing=(),
    )


def nothing_scored():
    unscored = PartResult(
        name="main",
        kind="whole",
        metrics=("equal",),
        score=None,
        rows=(case(1, None),),
        cost_usd_per_1000=None,
        latency_p50_s=None,
    )
    missing = (Missing("case 1", "route", "{}", "no answer"),)
    return FlowResult(
        flow="main",
        app="app.py:main",
        created="2026-11-24T10:00:00Z",
        models={},
        offline=True,
        parts=(unscored,),
        paths=(),
        gap=composability_gap([]),
        missing=missing,
    )


RESULTS = {"full": full, "steps alone": steps_alone, "nothing scored": nothing_scored}


@pytest.mark.parametrize("name", RESULTS)
def test_a_page_is_whole_and_holds_no_markup_of_answers(name):
    html = render_test(RESULTS[name]())
    opened = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "link", "br"):
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Reader().feed(html)
    assert opened == []
    assert "<script" not in html


def test_the_gap_its_interval_and_the_pair_that_it_comes_from_are_there():
    html = " ".join(render_test(full()).replace("\u202f", " ").split())
    assert "10.0 %" in html and "of 40 runs with right parts" in html  # 4 of 40
    assert "Which steps it comes from cannot be told: the runs are too few." in html
    assert "right parts, wrong whole" in html


def test_a_wrong_case_stands_with_what_it_was_asked():
    asked = replace(case(1, 0.0), asked="how many lamps?")
    tested = replace(steps_alone(), parts=(part("route", "step", 0, (asked,)),))
    assert "how many lamps?" in render_test(tested)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(shown(tested))
    assert "how many lamps? -> There are 3." in console.export_text()


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_read_back_as_it_was(name, tmp_path):
    tested = RESULTS[name]()
    write_json(tmp_path / "tests-1.json", to_json(tested))
    assert render_test(load_tested(tmp_path / "tests-1.json")) == render_test(tested)


@pytest.mark.slow
async def test_in_a_browser_nothing_is_logged_and_nothing_overflows(tmp_path):
    program = find_chromium()
    if program is None:
        pytest.skip("chromium is not installed; `apt-get install chromium` runs this test")
    for name, made in RESULTS.items():
        (tmp_path / f"{name}.html").write_text(render_test(made()), encoding="utf-8")
    async with chromium(program) as page:
        for name in RESULTS:
            for width in (400, 1400):
                for scheme in ("light", "dark"):
                    await page.open(f"file://{tmp_path}/{name}.html", width, scheme)
                    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
                assert await page.evaluate(OVERLAPS) == [], (name, width)
        assert page.problems == []


@pytest.mark.parametrize("latency_s", [None, 0.4])
def test_without_a_price_no_tile_says_unknown(latency_s):
    whole = replace(part("main", "whole", 3, ()), cost_usd_per_1000=None, latency_p50_s=latency_s)
    page = render_test(replace(full(), parts=(whole,)))
    assert 'class="figure">unknown' not in page and "cost per 1,000</dt>" not in page
    assert ("time an answer takes" in page) == (latency_s is not None)

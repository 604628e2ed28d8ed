"""The page of a flow's test: whole and valid for every kind of result, and without overflow in a real browser."""

from html.parser import HTMLParser

import pytest
from browser import chromium, find_chromium
from test_report_page import OVERLAPS

from stillhouse.evaluation.composability import Composed, composability_gap
from stillhouse.flow.testing import Missing
from stillhouse.records import Estimate
from stillhouse.report.test_page import render_test
from stillhouse.results.tested import Against, CaseResult, FlowResult, PartResult, PathResult, load_tested, to_json
from stillhouse.runs import write_json

EVIL = "<script>alert('&')</script>"


def case(number, score, cause=None, at=None, output="There are 3."):
    return CaseResult(
        f"case {number}",
        "key",
        score,
        "There are 4.",
        output,
        None,
        f"run-{number}",
        0.4,
        0.001,
        ("route=sql", "to_sql"),
        cause,
        at,
    )


def part(name, kind, right, wrong):
    rows = (*(case(number, 1.0) for number in range(right)), *wrong)
    n = right + len(wrong)
    return PartResult(
        name, kind, ("equal",), Estimate(right / n, n, 0.6, 0.95, 0.95, "Clopper-Pearson"), rows, 1.25, 0.4
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
            "main",
            "fail",
            Estimate(-0.1, 40, -0.2, -0.03, 0.95, "Tango"),
            -0.18,
            0.01,
            0,
            "the whole is 10 points worse",
        ),
    )
    paths = (
        PathResult("p1", ("route=sql", "to_sql"), ("it should call rows",), "r"),
        PathResult("p2", ("route=search",), (), "r2"),
    )
    models = {"route": "student:runs/route-distill-1", "*": "openai:gpt-6-luna"}
    gap = composability_gap(runs, n_calls=90)
    return FlowResult(
        "main",
        "app.py:main",
        "2026-11-24T10:00:00Z",
        models,
        True,
        parts,
        paths,
        gap,
        missing,
        "runs/tests-1.json",
        0.02,
        against,
    )


def steps_alone():
    return FlowResult(
        "main", "app.py:main", "2026-11-24T10:00:00Z", {}, False, (part("route", "step", 9, ()),), (), None, ()
    )


def nothing_scored():
    unscored = PartResult("main", "whole", ("equal",), None, (case(1, None),), None, None)
    missing = (Missing("case 1", "route", "{}", "no answer"),)
    return FlowResult(
        "main", "app.py:main", "2026-11-24T10:00:00Z", {}, True, (unscored,), (), composability_gap([]), missing
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

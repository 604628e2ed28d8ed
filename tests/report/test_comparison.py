"""A comparison as a table, a drawing and a page; and the page on which people judge, used by keyboard in a browser."""

import asyncio
import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from browser import chromium, find_chromium
from report_samples import full, smallest
from rich.console import Console
from test_report_page import OVERLAPS

from compare_samples import SECRETS, mine, page_of
from stillhouse.errors import UserError
from stillhouse.records import Estimate
from stillhouse.report.comparison_page import render_comparison
from stillhouse.report.comparison_plot import comparison_plot
from stillhouse.report.comparison_terminal import bar, comparison_text
from stillhouse.report.result_page import render
from stillhouse.report.result_terminal import terminal
from stillhouse.results.comparison import (
    ComparisonResult,
    Decided,
    OfRater,
    Tally,
    WeakScores,
    WinRates,
    from_dict,
    to_dict,
)
from stillhouse.results.result import from_dict as result_from_dict
from stillhouse.results.result import to_dict as result_to_dict

EVIL = "<script>alert('x')</script>"


def share(value, n, half=0.06):
    return Estimate(value, n, value - half, value + half, 0.95, "a method")


FOUND = WinRates(
    a="generative:qwen on teacher labels",
    b="prompt",
    by="people, judge corrected",
    rate=share(0.494, 400, 0.045),
    tally=Tally(24, 22, 10, 4),
    n_rows=400,
    lower_bound=0.456,
    weight=0.71,
    judge="openai:judge-model",
    people_alone=share(0.517, 60, 0.11),
    judge_alone=share(0.561, 400, 0.04),
    agreement=share(0.78, 58),
    kappa=share(0.64, 58, 0.12),
    people_first=share(0.52, 60, 0.12),
    judge_first=share(0.58, 391, 0.03),
    judge_consistent=share(0.81, 391, 0.04),
    n_same=9,
    decided=Decided(
        "pass",
        0.05,
        "passes: wins 49.4% on 400 rows, 60 of them judged by people, at least 45.6%, and 45.0% has to be shown",
    ),
    weak=(
        WeakScores("ROUGE-L", share(0.41, 400), share(0.44, 400)),
        WeakScores("token F1", share(0.48, 400), share(0.5, 400)),
    ),
    notes=(
        "both bad: 4 of 60 rows, counted as ties",
        "the judge leans to the answer shown first; it saw every pair in both orders, so the lean cancels in the rate",
    ),
)
OF_THREE = replace(
    FOUND,
    n_raters=3,
    raters_agree=share(0.71, 40, 0.14),
    alpha=share(0.52, 40, 0.2),
    raters=(
        OfRater("Ana", share(0.53, 60, 0.12)),
        OfRater("Bo of the second floor", share(0.45, 40, 0.15)),
        OfRater("", share(0.5, 20, 0.2)),
    ),
)
BY_PEOPLE = WinRates(
    "a", "b", "people", share(90 / 179, 179), Tally(90, 89, 0, 0), 179, people_alone=share(90 / 179, 179)
)
BY_JUDGE = WinRates(
    "a", "b", "judge", share(0.6, 9), Tally(5, 3, 1, 0), 9, judge="m", judge_stand_in=True, judge_alone=share(0.6, 9)
)
FACTS = {
    "command": "stillhouse compare A B rows.jsonl",
    "data": "rows.jsonl",
    "instruction": None,
    "created": "2026-11-24T10:00:00Z",
}


def printed(found, width=80):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(comparison_text(found))
    return console.file.getvalue()


def test_the_heading_says_whose_win_rate_it_is():
    assert FOUND.heading == "win rate by people, with the judge's choices corrected by theirs"
    assert BY_PEOPLE.heading == "win rate by people"
    assert OF_THREE.heading == "win rate by 3 people, with the judge's choices corrected by theirs"
    assert BY_JUDGE.heading == "win rate by m (a stand-in), not by people"


def test_the_terminal_has_every_number_with_its_n_in_80_columns():
    text = printed(FOUND)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    flat = " ".join(text.split())
    rates = (
        "49.4 [44.9, 53.9] 400",
        "51.7 [40.7, 62.7] 60",
        "openai:judge-model alone, not corrected 56.1 [52.1, 60.1] 400",
    )
    for part in (*rates, "kappa 0.64 [0.52, 0.76] n = 58"):
        assert part in flat, part
    assert "Weak evidence, shared words with the labels: ROUGE-L 41.0" in flat and "Gate: passes:" in flat
    three = printed(OF_THREE)
    assert max(len(line.rstrip()) for line in three.splitlines()) <= 80
    alone = ("Bo of the second floor alone 45.0", "who gave no name alone 50.0")
    for part in ("two people agree 71.0 %", "Krippendorff's alpha 0.52 [0.32, 0.72] n = 40", *alone):
        assert part in " ".join(three.replace("\xa0", " ").split()), part
    assert printed(BY_JUDGE).startswith("Win rate by m (a stand-in), not by people\n")


def test_the_bar_has_every_part_with_its_count():
    drawn, words = bar(Tally(30, 15, 10, 5)).splitlines()
    assert (drawn.count("█"), drawn.count("▒"), drawn.count("·"), drawn.count("░")) == (30, 10, 5, 15)
    assert words == "█ wins 30   ▒ ties 10   · both bad 5   ░ losses 15"


@pytest.mark.parametrize(
    "found", [FOUND, BY_PEOPLE, BY_JUDGE, OF_THREE], ids=["corrected", "people", "judge", "three people"]
)
@pytest.mark.parametrize("width", [344, 700])
def test_the_drawing_is_well_formed_named_and_stays_inside(found, width):
    root = ET.fromstring(str(comparison_plot(replace(found, a=EVIL, judge=EVIL), width)))
    assert root.get("role") == "img" and not list(root.iter("script"))
    ids = {element.get("id"): element.text for element in root if element.get("id")}
    assert all(ids[name] for name in root.get("aria-labelledby").split())
    _, _, right, bottom = map(float, root.get("viewBox").split())
    numbers = [
        (key, float(value))
        for element in root.iter()
        for key, value in element.attrib.items()
        if key in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy")
    ]
    assert all(-1 <= value <= (right if "x" in key else bottom) + 1 for key, value in numbers)


def test_the_page_has_the_facts_and_no_markup_of_others():
    html = render_comparison(ComparisonResult(replace(FOUND, a=EVIL, notes=(EVIL,)), {**FACTS, "data": EVIL}))
    assert "<script" not in html.lower() and "default-src 'none'" in html
    plain = " ".join(re.sub(r"<[^>]+>", " ", render_comparison(ComparisonResult(FOUND, FACTS))).split())
    heading = "Win rate by people, with the judge&#39;s choices corrected by theirs"
    for part in (heading, "n = 400, 60 of them judged by people", "weak evidence", "half a win for each"):
        assert part in plain, part
    assert from_dict(to_dict(ComparisonResult(FOUND, FACTS)), "here") == ComparisonResult(FOUND, FACTS)
    with pytest.raises(UserError, match=r"here: comparison\.by"):
        from_dict(
            {
                **to_dict(ComparisonResult(FOUND, FACTS)),
                "comparison": {**to_dict(ComparisonResult(FOUND, FACTS))["comparison"], "by": "me"},
            },
            "here",
        )


def test_a_run_whose_metric_is_a_win_rate_shows_it_and_a_weak_metric_is_called_weak():
    result = replace(full(), metric="win_rate", win_rates=(FOUND, replace(BY_JUDGE, a="other")))
    html = render(result)
    assert html.count("<h2>Answer against answer</h2>") == 2 and "win-rate-0-700" in html and "win-rate-1-700" in html
    assert result_from_dict(result_to_dict(result)) == result
    weak = replace(smallest(), metric="rouge_l")
    assert "weak evidence for open text" in render(weak)
    console = Console(width=100, file=io.StringIO(), color_system=None)
    console.print(terminal(weak))
    assert "weak evidence for open text" in " ".join(console.file.getvalue().split())
    assert "weak evidence" not in render(smallest())


async def press(page, key):
    for kind in ("keyDown", "keyUp"):
        await page.call("Input.dispatchKeyEvent", type=kind, key=key)


async def becomes(page, expression, value):
    """Wait until the page has come to a value, at most ten seconds."""
    for _ in range(200):
        if (now := await page.evaluate(expression)) == value:
            return
        await asyncio.sleep(0.05)
    assert now == value


COUNT = "document.getElementById('count').textContent"
SHOWN = "Object.fromEntries(['input', 'left', 'right'].map(id => [id, document.getElementById(id).textContent]))"


@pytest.mark.slow
async def test_in_a_browser_pairs_are_judged_by_keyboard_and_nothing_overflows(tmp_path):
    program = find_chromium()
    if program is None:
        pytest.skip("chromium is not installed; `apt-get install chromium` runs this test")
    for name, found in (
        ("corrected", FOUND),
        ("three", OF_THREE),
        ("people", BY_PEOPLE),
        ("judge", replace(BY_JUDGE, a="x" * 300, notes=("y" * 300,))),
    ):
        (tmp_path / f"{name}.html").write_text(render_comparison(ComparisonResult(found, FACTS)), encoding="utf-8")
    with page_of(tmp_path, "--json") as (process, url):
        async with chromium(program) as page:
            for width, scheme in ((400, "light"), (400, "dark"), (1400, "light"), (1400, "dark")):
                for address in (
                    url,
                    *(f"file://{tmp_path}/{name}.html" for name in ("corrected", "three", "people", "judge")),
                ):
                    await page.open(address, width, scheme)
                    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (address, width)
                    assert await page.evaluate(OVERLAPS) == [], (address, width)
            await page.open(url, 1400)
            await becomes(page, COUNT, "0 of 22 judged")
            source = await page.evaluate("document.documentElement.outerHTML")
            assert not any(secret in source for secret in SECRETS)
            first = await page.evaluate(SHOWN)
            await press(page, "ArrowLeft")
            await becomes(page, COUNT, "1 of 22 judged")
            assert await page.evaluate("document.getElementById('said').textContent") == "Saved: left is better."
            await press(page, "u")
            await becomes(page, COUNT, "0 of 22 judged")
            assert await page.evaluate(SHOWN) == first
            wins = 0
            for number, key in enumerate([*["ArrowRight", "t", "B", "ArrowLeft"] * 5, "T", "b"], start=1):
                shown = await page.evaluate(SHOWN)
                wins += {"ArrowRight": "right", "ArrowLeft": "left"}.get(key) == mine(shown)
                await press(page, key)
                await becomes(page, COUNT, f"{number} of 22 judged")
            assert await page.evaluate("document.getElementById('ended').hidden") is False
            await press(page, "ArrowLeft")  # there is nothing left to judge
            await press(page, "Enter")
            await becomes(page, "document.getElementById('end-words').textContent.slice(0, 4)", "Done")
            assert page.problems == []
        out, _ = process.communicate(timeout=20)
    tally = json.loads(out)["comparison"]["tally"]
    assert tally == {
        "wins": wins,
        "losses": 10 - wins + 1,
        "ties": 7,
        "both_bad": 6,
    }  # with the row that lacks an answer, and the one that has it twice

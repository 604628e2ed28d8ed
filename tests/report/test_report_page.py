import io
import os
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import chromium, find_chromium
from rich.console import Console

from report_samples import CASCADE, ENCODER, LINEAR, PROMPT, estimate, full, smallest
from stillhouse import __version__, numbers
from stillhouse.records import Estimate
from stillhouse.report.key_arms import key_arms
from stillhouse.report.key_tiles import key_tiles, left_out
from stillhouse.report.methods import BY_ROWS_AND_SEEDS, BY_WEIGHTS, deciding_tests, interval_methods
from stillhouse.report.result_page import render, series_colours
from stillhouse.report.result_terminal import terminal
from stillhouse.results.arms import ArmResult
from stillhouse.results.cascade import CascadePromise
from stillhouse.results.error_analysis import Confusion, Disagreement, Disagreements
from stillhouse.results.learning_curves import Curve, CurvePoint, LearningCurves
from stillhouse.results.money import Money, NetBenefit, PriceBound
from stillhouse.results.run_result import to_dict
from stillhouse.results.verdict import Verdict

GOLD = Path(__file__).parent / "gold"
EVIL = "<script>alert('x')</script>"


def scrubbed(html):
    """The page without its style sheet, drawings as their words, dates and version replaced: what a reviewer wants to see change."""
    html = re.sub(r"<style>.*?</style>", "<style/>", html, flags=re.DOTALL)
    html = re.sub(
        r"<svg(?:(?!</svg>).)*?<title[^>]*>(.*?)</title><desc[^>]*>(.*?)</desc>.*?</svg>",
        r"[drawing: \1 | \2]",
        html,
        flags=re.DOTALL,
    )
    html = re.sub(r"<svg.*?</svg>", "[bar]", html, flags=re.DOTALL)
    html = re.sub(r"\d{4}-\d\d-\d\d(T[\d:]+Z)?", "DATE", html)
    return html.replace(__version__, "VERSION")


def expect(name, text):
    path = GOLD / name
    if os.environ.get("STILLHOUSE_WRITE_GOLD"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), (
        f"{path} differs; look at it, then set STILLHOUSE_WRITE_GOLD=1 to accept"
    )


def html_text(page):
    """The page's text with plain spaces."""
    return unescape(page).replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


def stress():
    """What real data brings: names, labels and inputs that are too long, without spaces, or hostile, and many classes."""
    long = "openai:a-model-with-a-very-long-dated-name-2026-01-01, 64 examples"
    labels = tuple(f"{EVIL}intent_with_a_long_name_{index}" for index in range(60))
    counts = tuple(tuple(1 if row == column else 0 for column in range(60)) for row in range(60))
    curve = Curve(f"encoder:{'x' * 60}", (CurvePoint(16, 0.1, 0.0, 0.3), CurvePoint(32, 0.2, 0.1, 0.4)), 60, "teacher")
    arms = [
        ArmResult(
            name=f"{long} {index}",
            kind="student" if index else "prompt",
            score=estimate(0.7 + index / 500, 60),
            model=EVIL,
            cost_usd_per_1000=2.0**index,
        )
        for index in range(9)
    ]
    row = Disagreement("id" * 40, "SELECT" * 200, EVIL, "y" * 300, None, 0.5)
    return replace(
        full(),
        task=EVIL,
        instruction=EVIL + "z" * 400,
        scored_against="teacher",
        verdict=Verdict("cannot tell", EVIL + "w" * 300, (EVIL,), (EVIL,), EVIL),
        arms=tuple(arms),
        curves=LearningCurves((curve,)),
        confusion=Confusion(EVIL, labels, counts),
        disagreements=Disagreements(EVIL, EVIL, 1, 60, (row,), EVIL),
        warnings=(EVIL,),
    )


def test_the_page_is_what_was_agreed():
    expect("full.html", scrubbed(render(full())))


def test_the_smallest_page_leaves_sections_out_or_says_why():
    html = render(smallest())
    expect("smallest.html", scrubbed(html))
    assert "No learning curves in this run" in html and "No cost lines in this run" in html
    for section in ("cascade", "errors", "labels"):
        assert f"id={section!r}" not in html and f'id="{section}"' not in html


def test_a_result_and_its_json_give_the_same_page():
    assert render(full()) == render(to_dict(full()))


def test_nothing_from_the_data_becomes_markup_and_nothing_is_loaded():
    html = render(stress())
    assert "<script" not in html.lower()
    assert "default-src 'none'" in html
    assert (
        not re.search(r"""(?:src|href)\s*=\s*["'](?!#|data:,)""", html) and "url(" not in html and "@import" not in html
    )


def test_every_tag_is_closed_and_every_id_is_unique():
    class Reader(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.ids = [], []

        def handle_starttag(self, tag, attributes):
            self.ids += [value for name, value in attributes if name == "id"]
            if tag not in ("meta", "link", "br"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    for result in (full(), smallest(), stress()):
        reader = Reader()
        reader.feed(render(result))
        assert reader.open == [] and len(reader.ids) == len(set(reader.ids))


def test_without_gold_every_heading_says_agreement_with_the_teacher():
    html = render(replace(full(), scored_against="teacher"))
    assert (
        "agreement with the teacher, %" in html
        and "there are no gold labels" in html
        and "Agreement with the teacher against training rows" in html
    )
    assert "accuracy, %" not in html


def test_a_stand_in_is_called_one_wherever_its_numbers_are():
    first, *others = full().arms
    result = replace(
        full(),
        arms=(replace(first, stand_in=True), *others),
        label_quality=replace(full().label_quality, stand_in=True),
    )
    assert render(result).count("stand-in") >= 3
    assert "(stand-in)" in printed(result)


def test_a_missing_price_is_unknown_and_never_zero():
    first, *others = full().arms
    html = render(replace(full(), arms=(replace(first, cost_usd_per_1000=None, cost_note=None), *others)))
    assert "no price is known" in html and "unknown" in html


def test_no_tile_is_unknown_and_what_is_left_out_is_said_with_its_reason():
    prompt, *others = full().arms
    unpriced = replace(prompt, cost_usd_per_1000=None, cost_note=None, kind="prompt")
    evens = tuple(
        replace(
            even,
            calls=None,
            day=None,
            pays_off=None,
            sentence=f"whether {even.arm} pays off is unknown: no price is known",
        )
        for even in full().money.break_even
    )
    bound = PriceBound(ENCODER, "it pays off where a call of the prompt costs more than $0.01")
    result = replace(full(), arms=(unpriced, *others), money=replace(full().money, break_even=evens, bounds=(bound,)))
    tiles = key_tiles(result)
    assert "unknown" not in [tile.figure for tile in tiles]
    assert [(tile.label, tile.figure) for tile in tiles][2:] == [
        (f"{PROMPT}, tokens per call", "606"),
        (f"{ENCODER}, cost per 1,000 calls", "$0.0021"),
    ]
    assert tiles[2].note == "mean over n = 9,824; no price is known"
    assert left_out(result) == [
        f"Whether {ENCODER} pays off is unknown: no price is known; it pays off where a call of the prompt costs more than $0.01."
    ]
    assert left_out(result)[0] in html_text(render(result))
    without_parts = replace(result, money=replace(result.money, call_parts=()))
    assert f"No price is known for a call of {PROMPT}." in left_out(without_parts)
    timed = replace(without_parts, arms=(replace(unpriced, latency_p50_s=0.25), *others))
    assert [(tile.label, tile.figure) for tile in key_tiles(timed)][2] == (
        f"{PROMPT}, time per call",
        "250\N{NARROW NO-BREAK SPACE}ms",
    )


def test_a_refused_cascade_says_how_many_rows_are_missing():
    html = render(
        replace(
            full(),
            cascade=CascadePromise(
                student=ENCODER,
                teacher=PROMPT,
                budget=0.02,
                level=0.95,
                n=40,
                refused="even no harm at all would not be proof",
                rows_missing=109,
            ),
        )
    )
    assert "No threshold: even no harm at all would not be proof. 109 more calibration rows are needed." in html


def test_the_arms_that_carry_the_verdict_are_the_best_prompt_and_the_chosen_one():
    assert [arm.name for arm in key_arms(full())] == [PROMPT, ENCODER]
    assert [arm.name for arm in key_arms(replace(full(), verdict=replace(full().verdict, chosen=None)))] == [
        PROMPT,
        CASCADE,
    ]
    kept = replace(full().verdict, kind="keep prompt", chosen=PROMPT)
    assert [arm.name for arm in key_arms(replace(full(), verdict=kept))] == [
        PROMPT,
        ENCODER,
    ]  # whom its sentence is about
    assert key_arms(smallest()) == []


def test_a_system_has_one_colour_everywhere_and_the_chosen_one_has_the_accent():
    assert series_colours(full()) == {
        PROMPT: "ink",
        "majority class": "faint",
        ENCODER: "s1",
        LINEAR: "s2",
        CASCADE: "s3",
    }


def printed(result, width=100):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(terminal(result, Path("runs/esnli-3/report.html")))
    return console.file.getvalue()


def test_the_terminal_shows_the_table_the_verdict_and_the_path():
    expect("terminal.txt", "\n".join(line.rstrip() for line in printed(full()).splitlines()) + "\n")


def test_the_terminal_keeps_numbers_whole_at_80_columns():
    text = printed(full(), width=80)
    assert "[78.2, 79.8]" in text and "pass" in text and max(map(len, text.splitlines())) <= 80


def test_the_terminal_marks_a_score_on_other_rows_or_of_another_level():
    odd = ArmResult(name="odd", kind="student", score=Estimate(0.5, 50, 0.4, 0.6, level=0.9))
    text = printed(replace(smallest(), arms=(odd,)))
    assert "at 90" in text and "n = 50" in text


OVERLAPS = """[...document.querySelectorAll('svg.plot')].filter(svg => svg.getClientRects().length).flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()])
  return boxes.flatMap(([one, a], i) => boxes.slice(i + 1).filter(([_, b]) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4).map(([other]) => [one, other]))
})"""


# What scrolls sideways and cannot be reached with the tab key, or is reached and has no name.
OUT_OF_REACH = """[...document.querySelectorAll('main *, header *')]
  .filter(part => part.scrollWidth > part.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(part).overflowX))
  .filter(part => part.tabIndex !== 0 || !part.getAttribute('aria-label')).map(part => part.outerHTML.slice(0, 80))"""


# Tables that scroll sideways, with whether the words that say so are to be seen; and those of an arm's or a row's facts.
SCROLLED = """[...document.querySelectorAll('.scroll')].filter(part => part.clientWidth).map(part => [
  part.getAttribute('aria-label'), part.scrollWidth > part.clientWidth + 1,
  getComputedStyle(part, '::before').visibility === 'visible' && parseFloat(getComputedStyle(part, '::before').height) > 10,
  getComputedStyle(part).backgroundImage !== 'none'])"""
OFF_SCREEN = """[...document.querySelectorAll('.cards td, .cards tbody th')].filter(cell => cell.getClientRects().length)
  .filter(cell => cell.getBoundingClientRect().right > innerWidth || cell.getBoundingClientRect().left < 0)
  .map(cell => cell.textContent.slice(0, 40))"""
LABELS = """[...document.querySelectorAll('#arms .cards tbody tr')].map(row => [...row.querySelectorAll('td[data-label]')]
  .map(cell => getComputedStyle(cell, '::before').content))"""
# On paper nothing scrolls: what is wider than its place is cut off, or makes the whole page smaller.
TOO_WIDE = """[...document.querySelectorAll('table')].filter(table => table.getClientRects().length)
  .filter(table => table.getBoundingClientRect().width > table.closest('.scroll').getBoundingClientRect().width + 1)
  .map(table => [table.closest('.scroll').getAttribute('aria-label'), table.getBoundingClientRect().width])"""


@pytest.mark.slow
async def test_on_a_phone_no_column_is_off_screen_without_a_hint(tmp_path):
    program = find_chromium()
    if program is None:
        pytest.skip("chromium is not installed; `apt-get install chromium` runs this test")
    async with chromium(program) as page:
        for name, result in (("full", full()), ("stress", stress())):
            (tmp_path / f"{name}.html").write_text(render(result), encoding="utf-8")
            for scheme in ("light", "dark"):
                await page.open(f"file://{tmp_path}/{name}.html", 400, scheme)
                await page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
                assert await page.evaluate(OFF_SCREEN) == []
                scrolled = await page.evaluate(SCROLLED)
                assert [label for label, scrolls, hinted, shaded in scrolled if scrolls != hinted or not shaded] == []
                assert {label for label, scrolls, _, _ in scrolled if scrolls} >= {"Per-class table"} - {
                    name == "stress"
                }
                assert not any(scrolls for label, scrolls, _, _ in scrolled if label in ("All arms", "One-off costs"))
        await page.open(f"file://{tmp_path}/full.html", 400)
        [first, *_] = await page.evaluate(LABELS)
        names = ("accuracy, %", "gate", "per 1,000 calls", "latency p50, p99", "size", "macro-F1")
        assert first == [f'"{name}"' for name in names]
        # At its end there is nothing more to the right, and the words are gone.
        await page.evaluate("document.querySelectorAll('.scroll').forEach(part => part.scrollLeft = 9999)")
        await page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")
        assert not any(hinted for _, _, hinted, _ in await page.evaluate(SCROLLED))


@pytest.mark.slow
async def test_on_paper_nothing_is_cut_and_the_page_is_short(tmp_path):
    program = find_chromium()
    if program is None:
        pytest.skip("chromium is not installed; `apt-get install chromium` runs this test")
    (tmp_path / "full.html").write_text(render(full()), encoding="utf-8")
    async with chromium(program) as page:
        await page.open(
            f"file://{tmp_path}/full.html", 703, media="print"
        )  # A4 without its margins, and with a scroll bar
        assert await page.evaluate(TOO_WIDE) == []
        _, sheets = await page.printed()
        assert sheets <= 7  # there were 11


@pytest.mark.slow
async def test_in_a_browser_nothing_is_logged_and_nothing_overflows_or_overlaps(tmp_path):
    program = find_chromium()
    if program is None:
        pytest.skip("chromium is not installed; `apt-get install chromium` runs this test")
    for name, result in (("full", full()), ("smallest", smallest()), ("stress", stress())):
        (tmp_path / f"{name}.html").write_text(render(result), encoding="utf-8")
    async with chromium(program) as page:
        for name in ("full", "smallest", "stress"):
            for width in (400, 1400):
                for scheme in ("light", "dark"):
                    await page.open(f"file://{tmp_path}/{name}.html", width, scheme)
                    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
                if name == "full":
                    assert await page.evaluate(OVERLAPS) == [], width
                assert await page.evaluate(OUT_OF_REACH) == [], (name, width)
        await page.open(f"file://{tmp_path}/full.html", 794, "dark", media="print")  # A4 at 96 pixels an inch
        assert await page.evaluate(
            "[...document.querySelectorAll('details table')].every(table => table.getBoundingClientRect().height > 0)"
        )
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.problems == []


def test_without_gold_the_prompt_is_the_yardstick_and_no_answer_is_called_right():
    result = replace(full(), scored_against="teacher")
    prompt = replace(next(arm for arm in result.arms if arm.name == PROMPT), kind="prompt")
    result = replace(result, arms=(prompt, *(arm for arm in result.arms if arm.name != PROMPT)))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal(result))
    shown = console.export_text()
    assert "the yardstick" in shown and numbers.percent(prompt.score.value) not in shown
    page = render(result)
    assert "the others are held against its answers" in page
    assert "as the teacher, %" in page
    assert not re.search(r"accura|>right, %", page, re.IGNORECASE)
    assert "the yardstick" not in render(full())


def test_every_interval_of_the_page_has_its_method_level_and_rows_named():
    def estimates(raw):
        if isinstance(raw, dict):
            if {"value", "n", "low", "high", "level", "method"} <= raw.keys():
                yield raw
            for part in raw.values():
                yield from estimates(part)
        elif isinstance(raw, list):
            for part in raw:
                yield from estimates(part)

    result = full()
    named = {(line.method, line.level) for line in interval_methods(result)}
    held = [raw for raw in estimates(to_dict(result)) if raw["low"] is not None or raw["high"] is not None]
    of_others = {(BY_ROWS_AND_SEEDS, 0.95), (BY_WEIGHTS, 0.95)}  # curves and money hold their intervals otherwise
    assert named - of_others == {(raw["method"] or "not recorded", raw["level"]) for raw in held}
    whats = {line.what for line in interval_methods(result) if (line.method, line.level) in of_others}
    assert whats >= {
        "band of a learning curve",
        "training rows that meet the prompt",
        "worth at which the choice flips",
    }
    net = NetBenefit(
        arm="linear",
        against="prompt",
        calls=1000.0,
        days=None,
        saving_usd=5.0,
        saving_low=4.0,
        saving_high=6.0,
        worth_usd=0.1,
        net_usd=7.0,
        net_low=3.0,
        level=0.96,
        n=500,
    )
    of_money = [
        line for line in interval_methods(replace(result, money=Money(net=(net,)))) if line.method == BY_WEIGHTS
    ]
    assert [(line.what, line.level, line.n_most) for line in of_money] == [
        ("saving over the horizon", 0.96, 500),
        ("net benefit over the horizon, lower bound", 0.96, 500),
    ]
    lines = {(line.what, line.method, line.level): (line.n_least, line.n_most) for line in interval_methods(result)}
    scores = [arm.score for arm in result.arms]
    of_scores = [counts for (what, _, _), counts in lines.items() if what == "score of an arm"]
    assert min(of_scores)[0] == min(score.n for score in scores)
    assert any("one-sided, at 95\u202f%" in test for test in deciding_tests(result))

"""The page of a flow's run: by a gold file, by its structure, and in a browser."""

import re
from html.parser import HTMLParser

import pytest
from browser import chromium, find_chromium
from test_report_page import OVERLAPS, expect, scrubbed

import trace_samples
from stillhouse.flow.trace import trace
from stillhouse.report.run_page import render_run

SAMPLES = ("letter", "failed", "waiting", "killed", "empty", "stress")


def page_of(name):
    return render_run(getattr(trace_samples, name)())


def test_the_page_is_what_was_agreed():
    expect("run.html", scrubbed(page_of("letter")))


def test_a_failed_run_leads_with_the_step_and_its_error():
    html = page_of("failed")
    assert re.search(r"failed in smtp</p>\s*<h1>ConnectionError: 550 &lt;script&gt;", html)
    assert "stillhouse resume shop-2" in html
    assert "ToolError: no such column: totl, and the flow went on" in re.sub(r"\s+", " ", html)


def test_a_waiting_run_says_what_it_asks_and_how_to_answer():
    html = page_of("waiting")
    assert "It asks: Send this? &lt;script&gt;" in html
    assert "stillhouse answer w-1 ANSWER" in html


def test_a_run_whose_process_died_shows_the_call_it_died_in():
    html = page_of("killed")
    assert "The process that ran it ended before the run did." in html
    assert re.search(r'aria-label="unfinished">…</span> <b>deliver</b>', html)


def test_an_unknown_price_is_unknown_and_no_model_is_no_cost():
    assert "What it cost is left out: a price is not known." in page_of("failed")
    assert "no model was asked" in page_of("waiting")


def test_no_tile_says_unknown():
    for known in ({}, {"cost_usd": 0.1}, {"input_tokens": 3, "output_tokens": 1}):
        rows = [trace_samples.row("a", 0, 1, kind="model", **{**trace_samples.asked(None, None, None), **known})]
        page = render_run(trace_samples.trace(trace_samples.run(), rows))
        assert not re.search(r'class="figure">\s*unknown', page)
        assert ("What it cost is left out" in page) == ("cost_usd" not in known)
        assert ("Its tokens are left out: an endpoint did not count them" in page) == ("input_tokens" not in known)


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_of_the_run_becomes_markup_and_nothing_is_loaded(name):
    html = page_of(name)
    assert "<script" not in html.lower()
    assert "default-src 'none'" in html
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#|data:,)""", html)
    assert "url(" not in html and "@import" not in html


@pytest.mark.parametrize("name", SAMPLES)
def test_every_tag_is_closed_and_every_id_is_unique(name):
    class Reader(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.ids = [], []

        def handle_starttag(self, tag, attributes):
            self.ids += [value for key, value in attributes if key == "id"]
            if tag not in ("meta", "link", "br"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    reader = Reader()
    reader.feed(page_of(name))
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))


def test_long_outputs_are_cut_and_the_cut_is_said():
    html = page_of("stress")
    assert "10,000 more characters are in the journal." in html
    assert html.count("y" * 20_000) == 40  # so many calls of a fan-out are on the page one by one
    assert "and 60 more" in html


@pytest.mark.parametrize(("n_calls", "says"), [(32, "A row for each call"), (33, "A row for each step")])
def test_the_page_says_what_a_row_of_the_timeline_stands_for(n_calls, says):
    calls = [trace_samples.row("price", number, 0.5, gave=number) for number in range(n_calls)]
    moments = [trace_samples.row("now", number + 0.6, 0, kind="value", gave=number) for number in range(5)]
    assert says in render_run(trace(trace_samples.run(), [*calls, *moments]))


@pytest.mark.slow
async def test_in_a_browser_nothing_is_logged_and_nothing_overflows_or_overlaps(tmp_path):
    program = find_chromium()
    if program is None:
        pytest.skip("chromium is not installed; `apt-get install chromium` runs this test")
    for name in SAMPLES:
        (tmp_path / f"{name}.html").write_text(page_of(name), encoding="utf-8")
    async with chromium(program) as page:
        for name in SAMPLES:
            for width in (400, 1400):
                for scheme in ("light", "dark"):
                    await page.open(f"file://{tmp_path}/{name}.html", width, scheme)
                    await page.evaluate(
                        "document.querySelectorAll('details').forEach(one => { one.open = true }); true"
                    )
                    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
                assert await page.evaluate(OVERLAPS) == [], (name, width)
        assert page.problems == []

"""Replies whose counts do not add up, whose text holds thinking, or that did not come to their end.

They are labelled by single calls, by streams and by both batch protocols: what is paid for is stored, what is no answer is a
counted rejection, and a cap holds. The rows of the tables were written before the code.
"""

import asyncio
import json

import pytest
from aiohttp import web

from fake_batches import Fake, serving
from mood_task import MOOD
from stillhouse.commands.label import label
from stillhouse.errors import BudgetError
from stillhouse.llm import batch
from stillhouse.llm.batch_http import BatchHttp
from stillhouse.llm.ledger import Ledger
from stillhouse.session import Session
from stillhouse.teacher.terms import accept_terms

TEACHER = """
[teacher]
model = "{model}"
price_in = 1.0
price_out = 10.0
price_cached = 0.1
max_tokens = 20
"""
WAYS = ["call", "stream", "openai", "anthropic"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    real = asyncio.sleep

    async def no_wait(seconds):
        await real(0)

    monkeypatch.setitem(batch.Batches.__init__.__kwdefaults__, "sleep", no_wait)
    monkeypatch.setattr(BatchHttp.__init__, "__defaults__", (no_wait,))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-planted-0123456789")


class Provider:
    """One provider that answers in all four ways; `reply` is a chat completion, `message` the same in Anthropic's form."""

    def __init__(self, text="good", finish="stop", usage=None, **beside):
        self.text, self.finish, self.beside, self.asked = text, finish, beside, 0
        self.usage = {"prompt_tokens": 20, "completion_tokens": 2} if usage is None else usage

    def reply(self):
        message = {"role": "assistant", "content": self.text, **self.beside}
        return {"choices": [{"message": message, "finish_reason": self.finish}], "usage": self.usage}

    def message(self, whole):
        if "choices" in whole:
            return self.reply()
        blocks = [{"type": "text", "text": self.text}]
        names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
        usage = {names.get(name, name): value for name, value in self.usage.items()}
        finish = {"stop": "end_turn", "length": "max_tokens"}.get(self.finish, self.finish)
        return {**whole, "content": blocks, "stop_reason": finish, "usage": usage}

    async def chat(self, request):
        self.asked += 1
        return web.json_response(self.reply())

    async def stream(self, request):
        self.asked += 1
        pieces = [{"content": self.text[:7]}, {"content": self.text[7:]}, self.beside]
        chunks = [{"choices": [{"delta": piece, "finish_reason": None}]} for piece in pieces]
        chunks += [{"choices": [{"delta": {}, "finish_reason": self.finish}]}, {"choices": [], "usage": self.usage}]
        lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        return web.Response(text=lines, content_type="text/event-stream")


async def labelled(folder, monkeypatch, provider, way, n=4, more="", task=MOOD):
    """(the report or the error, the rows, the rejected rows)"""
    rows = [{"id": f"r{i}", "input": f"day {i} was nice"} for i in range(n)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if way in ("openai", "anthropic"):
        fake = Fake()
        fake.change = provider.message
        async with serving(fake) as address:
            found = await _label(folder, monkeypatch, address, way, more, task)
        provider.asked += len(fake.asked)
        return found
    app = web.Application()
    app.router.add_post("/v1/chat/completions", provider.chat if way == "call" else provider.stream)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        return await _label(folder, monkeypatch, f"http://127.0.0.1:{runner.addresses[0][1]}", way, more, task)
    finally:
        await runner.cleanup()


async def _label(folder, monkeypatch, address, way, more, task):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", address)
    # The port changes from run to run: the name is the provider's, so that the store knows the calls again.
    monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789")
    model = "anthropic:claude-test" if way == "anthropic" else "openai:m-test"
    (folder / "task.toml").write_text(task + TEACHER.format(model=model) + more)
    accept_terms(model, folder)
    report = (await label(folder, Session(), batch=way in ("openai", "anthropic"))).report

    def read(name):
        return [json.loads(line) for line in (folder / name).read_text().splitlines()]

    return report, read("teacher.jsonl"), read("teacher.rejected.jsonl")


@pytest.mark.parametrize("way", WAYS)
async def test_counts_that_do_not_add_up_are_stored_marked_counted_and_priced_above_zero(way, tmp_path, monkeypatch):
    cached = "cache_read_input_tokens" if way == "anthropic" else "cached_tokens"
    usage = {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 9, cached: 5000}
    provider = Provider(usage=usage)
    report, rows, _ = await labelled(tmp_path, monkeypatch, provider, way)
    assert report.labelled == 4 and provider.asked == 4
    cost = (20 * 1 + 5000 * 0.1 + 2 * 10) / 1e6 * (0.5 if way in ("openai", "anthropic") else 1.0)
    assert report.cost_usd == pytest.approx(4 * cost) and report.n_cost_unknown == 0
    assert sum(report.usage_doubts.values()) == 4
    assert all("do not add up" not in row["provenance"]["usage"] and row["cost_usd"] > 0 for row in rows)
    again, _, _ = await labelled(tmp_path, monkeypatch, provider, way)
    assert (again.from_store, again.cost_usd, provider.asked) == (4, 0.0, 4)  # nothing is bought again
    assert again.usage_doubts == report.usage_doubts


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": -20, "completion_tokens": 2}, {}, {"completion_tokens": "2"}, None]
)
async def test_a_cost_that_cannot_be_told_is_none_and_counted(way, usage, tmp_path, monkeypatch):
    provider = Provider()
    provider.usage = usage if usage is not None else {"prompt_tokens": 0, "completion_tokens": 0}
    report, rows, _ = await labelled(tmp_path, monkeypatch, provider, way)
    assert (report.labelled, report.cost_usd, report.n_cost_unknown) == (4, None, 4)
    assert all("cost_usd" not in row for row in rows)


async def test_a_table_that_fails_on_a_price_keeps_no_paid_reply_from_the_store(tmp_path, monkeypatch):
    import genai_prices

    from stillhouse.llm import prices

    def fails(*_, **__):
        raise ValueError("cached tokens exceed the prompt")

    prices._table_cost.cache_clear()
    prices._price_on.cache_clear()
    monkeypatch.setattr(genai_prices, "calc_price", fails)
    assert prices.call_cost("openai:gpt-4o-mini", prices.Usage(9, 2), prices.datetime.now(prices.UTC)) == (None, None)
    prices._table_cost.cache_clear()
    prices._price_on.cache_clear()


@pytest.mark.parametrize("way", ["call", "stream"])
async def test_reasoning_beside_the_completion_is_paid_for_and_a_cap_holds(way, tmp_path, monkeypatch):
    usage = {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 1022}
    usage["completion_tokens_details"] = {"reasoning_tokens": 1000}
    provider, one = Provider(usage=usage), (20 * 1 + 1002 * 10) / 1e6
    report, _, _ = await labelled(tmp_path, monkeypatch, provider, way)
    assert report.cost_usd == pytest.approx(4 * one)
    (capped := tmp_path / "capped").mkdir()
    with pytest.raises(BudgetError):
        await labelled(capped, monkeypatch, provider, way, n=40, more=f"max_usd = {3.5 * one}\n")
    assert provider.asked == 4 + 3  # each worst case was 18 times too small, and the first call showed it


async def test_the_first_call_under_a_cap_goes_alone_and_shows_what_is_billed():
    from stillhouse.llm.prices import Price
    from stillhouse.llm.request import Request

    ledger, price = Ledger(10.0), Price(0.0, 1e6, "a test's")
    request = Request("m", ({"role": "user", "content": "x"},), {"max_tokens": 1})
    first = await ledger.reserve(request, price)
    second = asyncio.create_task(ledger.reserve(request, price))
    await asyncio.sleep(0)
    assert not second.done()
    await ledger.settle(first, 4.0, paid=True)  # four times its worst case
    assert await second == 1.0
    with pytest.raises(BudgetError, match=r"may cost up to \$4"):
        await _never_waits(ledger, request, price, second)


async def _never_waits(ledger, request, price, second):
    await ledger.settle(1.0, 4.0, paid=True)
    await ledger.reserve(request, price)


EARLY = ["length", "max_tokens", "MAX_TOKENS", "content_filter", "safety", "error", "refusal", "recitation", "banana"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("finish", EARLY)
async def test_what_did_not_come_to_its_end_is_a_counted_rejection_and_no_label(way, finish, tmp_path, monkeypatch):
    report, rows, rejected = await labelled(tmp_path, monkeypatch, Provider(finish=finish), way, n=2, more="")
    assert (report.labelled, rows, len(rejected)) == (0, [], 2)
    [(reason, count)] = report.rejected.items()
    assert count == 2 and all(row["reason"] == reason for row in rejected)
    assert reason.startswith(("cut off", "stopped", "the model refused"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "text", ["<think>is it bad?</think>good", "<THINK>\nbad\n</THINK>\n\ngood", "is it bad?</think>\ngood"]
)
async def test_thinking_is_kept_beside_the_row_and_is_no_part_of_the_label(way, text, tmp_path, monkeypatch):
    _, rows, _ = await labelled(tmp_path, monkeypatch, Provider(text), way, n=2)
    assert [(row["teacher_label"], row["parsed"]) for row in rows] == [("good", "strict")] * 2
    assert all("bad" in row["teacher_thinking"] for row in rows)


@pytest.mark.parametrize("way", WAYS)
async def test_a_reply_that_ends_inside_its_thinking_is_rejected(way, tmp_path, monkeypatch):
    report, _, rejected = await labelled(tmp_path, monkeypatch, Provider("<think>it is good"), way, n=2)
    assert report.rejected == {"the reply ended while the model was still thinking": 2}
    assert all(row["teacher_thinking"] == "it is good" for row in rejected)


@pytest.mark.parametrize("way", ["call", "stream", "openai"])
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_that_the_provider_sets_apart_is_kept_beside_the_row(way, field, tmp_path, monkeypatch):
    _, rows, _ = await labelled(tmp_path, monkeypatch, Provider(**{field: "is it bad?"}), way, n=2)
    assert [(row["teacher_label"], row["teacher_thinking"]) for row in rows] == [("good", "is it bad?")] * 2


@pytest.mark.parametrize("way", ["call", "stream", "openai"])
async def test_a_refusal_beside_a_text_is_a_rejection(way, tmp_path, monkeypatch):
    report, _, _ = await labelled(tmp_path, monkeypatch, Provider(refusal="I cannot say good."), way, n=2)
    assert report.rejected == {"the model refused to answer": 2}

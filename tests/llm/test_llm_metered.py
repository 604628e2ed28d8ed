"""A model behind the store and the ledger: an equal request is paid for once, whoever asks and whenever; what was not answered is asked again."""

import asyncio
from datetime import UTC, datetime

import pytest

from stillhouse.errors import BudgetError, StorageError
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.request import Completion, Request, text_listener
from stillhouse.records import Usage
from stillhouse.store import open_store

PAID = Completion("good", finish_reason="stop", usage=Usage(10, 5), latency_s=0.1)


def ask(text, **parameters):
    return Request("m", ({"role": "user", "content": text},), parameters)


async def until(true):
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


def metered(store, replies, ledger=None, **options):
    calls = []

    async def call(request, example):
        calls.append(request)
        await asyncio.sleep(0)
        return replies[min(len(calls), len(replies)) - 1]

    now = lambda: datetime(2026, 1, 2, tzinfo=UTC)  # noqa: E731
    return MeteredModel("m", call, store, ledger or Ledger(), price_in=1.0, price_out=2.0, now=now, **options), calls


async def test_a_second_run_reads_the_answer_with_its_price_and_pays_nothing(tmp_path):
    with open_store(tmp_path / "s.db") as store:
        first = await metered(store, [PAID])[0].complete(ask("x"))
    with open_store(tmp_path / "s.db") as store:
        model, calls = metered(store, [PAID])
        again = await model.complete(ask("x"))
        assert calls == []
        assert model.ledger.spent_usd == 0.0
    assert (first.cost_usd, first.from_store) == (pytest.approx(20e-6), False)
    assert (again.text, again.usage, again.from_store) == ("good", Usage(10, 5), True)
    assert (again.cost_usd, again.price_snapshot) == (first.cost_usd, first.price_snapshot)


async def test_a_refusal_that_was_paid_for_keeps_its_status_in_the_store(tmp_path):
    refused = Completion(None, error="refused", usage=Usage(10, 0), status=400)
    with open_store(tmp_path / "s.db") as store:
        await metered(store, [refused])[0].complete(ask("x"))
        assert (await metered(store, [PAID])[0].complete(ask("x"))).status == 400


async def test_a_reply_that_the_last_version_stored_has_no_status(tmp_path):
    with open_store(tmp_path / "s.db") as store:
        await metered(store, [PAID])[0].complete(ask("x"))
        stored = store.get(ask("x").hash)
        assert set(stored.response) == {"text", "finish_reason", "error"}  # as that version wrote it
        assert (await metered(store, [PAID])[0].complete(ask("x"))).status is None


async def test_equal_requests_at_the_same_time_share_one_call(tmp_path):
    with open_store(tmp_path / "s.db") as store:
        model, calls = metered(store, [PAID])
        found = await asyncio.gather(*(model.complete(ask("x")) for _ in range(10)))
        assert len(calls) == 1
        assert sum(completion.from_store for completion in found) == 9
        assert model.ledger.spent_usd == pytest.approx(20e-6)


async def test_who_shares_a_call_gets_its_answer_though_who_began_it_was_stopped(tmp_path):
    with open_store(tmp_path / "s.db") as store:
        model, calls = metered(store, [PAID])
        first, second, third = (asyncio.create_task(model.complete(ask("x"))) for _ in range(3))
        await until(lambda: calls)
        first.cancel()
        found = await asyncio.gather(first, second, third, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert [one.text for one in found[1:]] == ["good", "good"]
        assert (len(calls), store.count()) == (2, 1)  # the one that was stopped, and one that the others share


async def test_who_shares_a_call_and_is_stopped_stops_alone(tmp_path):
    with open_store(tmp_path / "s.db") as store:
        model, calls = metered(store, [PAID])
        first, second = (asyncio.create_task(model.complete(ask("x"))) for _ in range(2))
        await until(lambda: calls)
        second.cancel()
        found = await asyncio.gather(first, second, return_exceptions=True)
        assert found[0].text == "good"
        assert isinstance(found[1], asyncio.CancelledError)
        assert len(calls) == 1


async def test_requests_that_differ_in_any_part_are_paid_for_apart(tmp_path):
    with open_store(tmp_path / "s.db") as store:
        model, calls = metered(store, [PAID])
        sampled = Request("m", ask("x").messages, {}, sample_index=1)
        for request in (ask("x"), ask("y"), ask("x", temperature=1), sampled, ask("x")):
            await model.complete(request)
        assert len(calls) == 4


async def test_what_was_not_answered_is_asked_again_and_what_was_paid_for_is_not(tmp_path):
    failed = Completion(None, error="endpoint failed: status 500")
    filtered = Completion(None, error="stopped", finish_reason="content_filter", usage=Usage(3, 0))
    with open_store(tmp_path / "s.db") as store:
        model, calls = metered(store, [failed, filtered, PAID])
        assert (await model.complete(ask("x"))).error == "endpoint failed: status 500"
        assert (await model.complete(ask("x"))).error == "stopped"
        assert (await model.complete(ask("x"))).error == "stopped"
        assert len(calls) == 2


async def test_what_an_endpoint_finished_was_paid_for_though_it_counts_no_tokens(tmp_path):
    finished = Completion(None, error="stopped", finish_reason="content_filter")
    with open_store(tmp_path / "s.db") as store:
        model, calls = metered(store, [finished, PAID])
        for _ in range(2):
            assert (await model.complete(ask("x"))).error == "stopped"
        assert len(calls) == 1


async def test_a_store_that_refuses_ends_the_call_and_its_cost_is_known(tmp_path):
    class Full:
        def get(self, request_hash):
            return None

        async def claim(self, request_hash):
            return "ours"

        def release(self, request_hash):
            pass

        async def put(self, completion):
            raise StorageError("the disk is full")

    model, _ = metered(Full(), [PAID])
    with pytest.raises(StorageError):
        await model.complete(ask("x"))
    assert model.ledger.spent_usd == pytest.approx(20e-6)


async def test_a_cap_is_never_passed_however_many_ask_at_once(tmp_path):
    worst = (1 + 8) * 1e-6 + 50 * 2e-6  # one byte and a role, 50 tokens of reply; a call really costs 20e-6
    with open_store(tmp_path / "s.db") as store:
        model, calls = metered(store, [PAID], Ledger(3 * worst))
        found = await asyncio.gather(
            *(model.complete(ask(chr(97 + number), max_tokens=50)) for number in range(26)), return_exceptions=True
        )
        assert any(isinstance(one, BudgetError) for one in found)
        assert model.ledger.spent_usd <= 3 * worst
        assert (
            store.count() == len(calls) == sum(isinstance(one, Completion) for one in found) == 11
        )  # 10 answers leave 127e-6, room for one more


async def test_who_listens_and_fails_costs_no_reply(tmp_path):
    heard = []

    def fails(piece):
        heard.append(piece)
        raise RuntimeError("the window is closed")

    async def call(request, example):
        for piece in ("go", "od"):
            text_listener.get()(piece)
        return PAID

    with open_store(tmp_path / "s.db") as store:
        model = MeteredModel("m", call, store, Ledger())
        token = text_listener.set(fails)
        try:
            with pytest.raises(RuntimeError, match="closed"):
                await model.complete(ask("x"))
        finally:
            text_listener.reset(token)
        assert heard == ["go"]
        assert (await model.complete(ask("x"))).from_store

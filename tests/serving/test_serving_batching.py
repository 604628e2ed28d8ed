"""Micro-batches: who shares a call, in what order, and that one bad row fails alone."""

import asyncio

import pytest

from stillhouse.records import Example
from stillhouse.serving.batching import Batcher


class Lengths:
    """Answers a row's length and remembers who came together. The row "bad" breaks the whole call."""

    def __init__(self):
        self.calls, self.called = [], asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, inputs):
        self.calls.append([row.input for row in inputs])
        self.called.set()
        await self.gate.wait()
        if any(row.input == "bad" for row in inputs):
            raise ValueError("bad row")
        return [len(row.input) for row in inputs]


def ask(batcher, *texts):
    return asyncio.gather(*(batcher.ask(Example(text, text)) for text in texts), return_exceptions=True)


async def test_rows_of_one_moment_share_a_call_and_get_their_own_answers():
    lengths = Lengths()
    assert await ask(Batcher(lengths), "a", "bbb", "cc") == [1, 3, 2]
    assert lengths.calls == [["a", "bbb", "cc"]]


async def test_a_batch_holds_no_more_than_its_most():
    lengths = Lengths()
    assert await ask(Batcher(lengths, most=2), "a", "b", "c", "d", "e") == [1] * 5
    assert lengths.calls == [["a", "b"], ["c", "d"], ["e"]]


async def test_rows_that_come_during_a_call_share_the_next():
    lengths = Lengths()
    lengths.gate.clear()
    batcher = Batcher(lengths, wait_s=0)
    first = asyncio.ensure_future(ask(batcher, "a"))
    await lengths.called.wait()
    later = asyncio.ensure_future(ask(batcher, "b", "c"))
    await asyncio.sleep(0)
    lengths.gate.set()
    assert await first == [1] and await later == [1, 1]
    assert lengths.calls == [["a"], ["b", "c"]]


async def test_a_row_that_breaks_the_model_fails_alone():
    lengths = Lengths()
    good, bad, other = await ask(Batcher(lengths), "good", "bad", "other")
    assert (good, other) == (4, 5)
    assert isinstance(bad, ValueError)


async def test_what_a_library_in_rust_panics_with_is_the_error_of_its_row_alone():
    """It is no Exception. Left alone, it would leave all rows of the moment waiting for ever."""

    class PanicException(BaseException):
        pass

    async def panics(inputs):
        if any(row.input == "bad" for row in inputs):
            raise PanicException("no such character")
        return [len(row.input) for row in inputs]

    batcher = Batcher(panics)
    good, bad, other = await asyncio.wait_for(ask(batcher, "good", "bad", "other"), 20)
    assert (good, other) == (4, 5)
    assert isinstance(bad, RuntimeError) and str(bad) == "PanicException: no such character"
    assert await asyncio.wait_for(ask(batcher, "again"), 20) == [5]


async def test_a_predictor_that_loses_a_row_is_an_error_and_not_a_shift():
    async def loses(inputs):
        return [row.input for row in inputs][:-1]

    with pytest.raises(ValueError, match="0 answers to 1 rows"):
        await Batcher(loses).ask(Example("1", "a"))


async def test_who_has_gone_is_not_predicted_for():
    lengths = Lengths()
    batcher = Batcher(lengths)
    gone = asyncio.ensure_future(batcher.ask(Example("gone", "gone")))
    stays = asyncio.ensure_future(batcher.ask(Example("stays", "stays")))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 5
    assert lengths.calls == [["stays"]]


async def test_it_works_again_after_an_idle_time():
    lengths = Lengths()
    batcher = Batcher(lengths)
    assert [await batcher.ask(Example(text, text)) for text in ("a", "bb")] == [1, 2]

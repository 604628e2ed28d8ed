"""Many calls at once: bounded, in any order, and no row waits for another that is in trouble."""

import asyncio

import pytest

from stillhouse.errors import BudgetError, DatasetError
from stillhouse.llm.bulk import Bulk
from stillhouse.llm.request import between_tries


async def test_no_more_are_under_way_than_allowed_and_each_result_comes_with_its_number():
    under_way, most, found = 0, 0, {}

    async def one(n):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return n * n

    await Bulk(lambda: 7, one).run(
        iter(range(100)), lambda index, given, result: found.update({index: (given, result)})
    )
    assert found == {n: (n, n * n) for n in range(100)}
    assert most == 7


async def test_rows_that_wait_for_their_next_try_hold_up_no_other():
    """As many poisoned rows as calls under way come first: all others finish while these still wait."""
    release, done = asyncio.Event(), []

    async def one(n):
        if n < 3:
            between_tries.get()(1)
            await release.wait()
            between_tries.get()(-1)
        await asyncio.sleep(0)
        return n

    work = asyncio.create_task(Bulk(lambda: 3, one).run(range(50), lambda index, given, result: done.append(result)))
    for _ in range(500):
        await asyncio.sleep(0)
    assert sorted(done) == list(range(3, 50))
    release.set()
    await work
    assert sorted(done) == list(range(50))


async def test_an_endpoint_that_fails_as_a_whole_does_not_gather_a_task_for_every_row():
    waiting = 0

    async def one(n):
        nonlocal waiting
        waiting += 1
        between_tries.get()(1)
        await asyncio.Event().wait()

    work = asyncio.create_task(Bulk(lambda: 2, one).run(range(10_000), lambda *_: None))
    for _ in range(200):
        await asyncio.sleep(0)
    assert waiting == 2 + 8 * 2
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


@pytest.mark.parametrize("where", ["call", "input"])
async def test_a_failure_for_good_starts_nothing_new_and_waits_for_what_is_under_way(where):
    begun, taken = [], []

    def inputs():
        for n in range(100):
            if where == "input" and n == 5:
                raise DatasetError("torn")
            yield n

    async def one(n):
        begun.append(n)
        if where == "call" and n == 5:
            raise BudgetError("spent")
        for _ in range(5):
            await asyncio.sleep(0)
        return n

    with pytest.raises(BudgetError if where == "call" else DatasetError):
        await Bulk(lambda: 8, one).run(inputs(), lambda index, given, result: taken.append(result))
    assert sorted(taken) == [n for n in begun if (where, n) != ("call", 5)]
    assert len(begun) <= 8

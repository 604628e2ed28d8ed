"""What runs share: opened once, closed by the last, and what lingers is closed by its time, with the loop, or when its file is gone."""

import asyncio

from stillhouse import flow, step
from stillhouse.flow.shared import shared
from stillhouse.store.journal import open_journal


class Thing:
    def __init__(self):
        self.closed, self.in_place = 0, True

    def close(self):
        self.closed += 1


async def test_users_at_the_same_time_share_it_and_the_last_one_closes_it():
    made = []

    def make():
        made.append(Thing())
        return made[-1]

    async with shared("a", make) as first:
        async with shared("a", make) as second:
            assert first is second
        assert first.closed == 0
    assert (len(made), first.closed) == (1, 1)


async def test_what_lingers_is_there_for_the_next_and_closes_when_its_time_is_over():
    async with shared("b", Thing, linger_s=0.01) as first:
        pass
    async with shared("b", Thing, linger_s=0.01) as second:
        await asyncio.sleep(0.03)  # the first leaving's timer closes nothing that is in use
        assert (second is first, first.closed) == (True, 0)
    await asyncio.sleep(0.03)  # its own timer comes before this one
    async with shared("b", Thing, linger_s=0.01) as third:
        assert third is not first
    assert first.closed == 1


def test_what_lingers_closes_with_the_loop():
    async def use():
        async with shared("c", Thing, linger_s=60) as thing:
            return thing

    assert asyncio.run(use()).closed == 1


async def test_what_lingers_out_of_its_place_is_not_used_again():
    async with shared("d", Thing, linger_s=60) as first:
        first.in_place = False
    async with shared("d", Thing, linger_s=60) as second:
        assert second is not first
    assert first.closed == 1


async def test_a_journal_that_was_deleted_between_two_runs_is_made_again(tmp_path):
    @step
    async def double(n: int) -> int:
        return 2 * n

    @flow
    async def main(n: int) -> int:
        return await double(n)

    place = tmp_path / "journal.db"
    await main.run("one", 1, store=place)
    for file in tmp_path.glob("journal.db*"):
        file.unlink()
    await main.run("two", 2, store=place)
    journal = open_journal(place)
    assert [row.run for row, _ in journal.runs()] == ["two"]
    journal.close()

"""What a loop tells of what it has to do: asyncio's, one that names its queue nowhere (as uvloop), one that has none."""

import asyncio
from collections import deque

import pytest

from stillhouse.flow.loop_turns import Turns, anything_is_due


class Hidden:
    """A loop with its queue under another name, among other ones."""

    def __init__(self, queue):
        self.other, self.others_queue, self.what_is_due = [], deque(), queue

    def call_soon(self, callback):
        handle = asyncio.Handle(callback, (), self)
        self.what_is_due.append(handle)
        return handle

    def get_debug(self):
        return False


@pytest.mark.parametrize(("queue", "is_known"), [(deque(), True), ([], False)], ids=["a queue", "something else"])
def test_what_is_due_in_a_loop_that_does_not_name_its_queue(queue, is_known):
    loop = Hidden(queue)
    assert anything_is_due(loop) is (True if is_known else None)
    loop.what_is_due.clear()
    assert anything_is_due(loop) is (False if is_known else None)


async def test_a_turn_ends_where_a_call_waits_and_not_before():
    loop, turns = asyncio.get_running_loop(), Turns()
    began = turns.now(loop)
    assert turns.now(loop) == began and anything_is_due(loop)

    async def waits():
        began = turns.now(loop)
        await asyncio.sleep(0)
        return began, turns.n

    assert turns.n == began
    both = await asyncio.gather(waits(), waits())
    assert all(after > before for before, after in both)

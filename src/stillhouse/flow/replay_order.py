"""Journaled answers are given in the order in which they came.

What `as_completed`, a queue or a lock do next depends on which call ended first. A replayed call takes no time, so
without an order a resumed run would take another way than it took before. A call that stands alone waits for nothing.
Where branches run side by side an answer waits until all earlier ones were given and what follows them has been done,
as far as it is done at once. A call that was given up comes to its end when it is cancelled: later answers wait for
that, too, but not for long, as they may have a time to keep of their own. An earlier answer that nobody asks for (the
code was edited, or plain code in the flow sleeps) is waited for no longer than the loop has work.
"""

import asyncio
import contextlib
import heapq
import math
from collections.abc import Iterable, Iterator

from stillhouse.flow.branches import Branch

# Turns of the loop after which the next answer is given although the loop has other work: that of other runs, say.
_LONGEST_TURNS = 50
_LONGEST_PAUSE_S = 0.5


class ReplayOrder:
    """The order of a run's journaled answers, by the number that each had when it ended."""

    def __init__(self, ends: Iterable[int]) -> None:
        self._ends = sorted(ends)
        self._next = 0  # which of them comes next
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._coming: list[int] = []  # ends of calls that wait to be cancelled
        self._n_asked = 0
        self._looks = False  # `_look` is called soon
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last: object = None  # the task whose call was answered last

    @property
    def over(self) -> bool:
        """Whether all journaled answers were given, so that nothing waits any more."""
        return self._next >= len(self._ends)

    def at_once(self, end: int, branch: Branch) -> bool:
        """Whether this answer waits for nothing: it is late, or it is next, of the task that was answered last, alone.

        Where other tasks are due, they go on while a call is under way, and may take what this one would take next.
        """
        if self.over:
            return True
        following = self._ends[self._next]
        if end == following and (self._last is branch.task or self._last is None) and not _others_are_due():
            self._next += 1
            self._last = branch.task
            return True
        return end < following

    async def answer(self, end: int, branch: Branch) -> None:
        """Wait until the answer with this number is next."""
        if not self.at_once(end, branch):
            await self._wait(end)
            self._give(end)
            self._last = branch.task

    async def before_a_new_call(self) -> None:
        """Wait until no journaled answer can be given any more: in the run before, this call ended after them."""
        if not self.over:
            await self._wait(math.inf)

    @contextlib.contextmanager
    def coming(self, end: int | None) -> Iterator[None]:
        """While a call waits to be cancelled that had this number, no later answer is given."""
        if end is None or self.over:
            yield
            return
        loop = asyncio.get_running_loop()
        self._coming.append(end)
        timer = loop.call_later(_LONGEST_PAUSE_S, self._come, end, loop)
        try:
            yield
        finally:
            timer.cancel()
            self._come(end, loop)

    def _come(self, end: int, loop: asyncio.AbstractEventLoop) -> None:
        if end in self._coming:
            self._coming.remove(end)
            self._give(end)
            if self._waiting and not self._looks:
                self._look_soon(loop)

    def _look_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looks = True
        loop.call_soon(self._look, loop, 0)

    def _give(self, end: int) -> None:
        while self._next < len(self._ends) and self._ends[self._next] <= end:
            self._next += 1

    async def _wait(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:  # a thread with a loop of its own
            return
        turn = loop.create_future()
        self._n_asked += 1
        heapq.heappush(self._waiting, (end, self._n_asked, turn))
        if not self._looks:
            self._look_soon(loop)
        await turn

    def _look(self, loop: asyncio.AbstractEventLoop, n_turns: int) -> None:
        """Give the next answer when the loop has nothing else to do at once."""
        # The loops of asyncio have their callbacks that are due in `_ready`; of others only the turns are counted.
        if getattr(loop, "_ready", True) and n_turns < _LONGEST_TURNS:
            loop.call_soon(self._look, loop, n_turns + 1)
            return
        self._looks = False
        while self._may_give():
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                break
        if self._may_give():
            self._look_soon(loop)

    def _may_give(self) -> bool:
        return bool(self._waiting) and not (self._coming and min(self._coming) < self._waiting[0][0])


def _others_are_due() -> bool:
    """Whether another callback of the running loop is due; of loops that are not asyncio's it is not known."""
    return bool(getattr(asyncio.get_running_loop(), "_ready", True))

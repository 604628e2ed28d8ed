"""Answers are given in the order in which they came, on resume as when they came.

What `as_completed`, a queue or a lock do next depends on which call ended first. A replayed call takes no time, so
without an order a resumed run would take another way than it took before. A call that stands alone waits for nothing.
Where branches run side by side an answer waits until all earlier ones were given and what follows them has been done,
as far as it is done at once. So do new answers, once they are journaled: two that come in the same moment would race
through what waits for them, and which of them is there first would be known to nobody.
A call whose body waits for nothing, like a function's, is no such moment: no other branch goes on meanwhile. Its answer
is given at once, then and on resume, where all earlier ones were given.
A call that was given up comes to its end when it is cancelled: later answers wait for that, too, but not for long, as
they may have a time to keep of their own; earlier ones are given all the same. An earlier answer that nobody asks for
(the code was edited, or plain code in the flow sleeps) is waited for no longer than the loop has work.
"""

import asyncio
import bisect
import contextlib
import heapq
import math
import weakref
from collections.abc import Iterable, Iterator

from stillhouse.flow.branches import Branch
from stillhouse.flow.loop_turns import anything_is_due
from stillhouse.store.journal import place_of

# Turns of the loop after which the next answer is given although the loop has other work: that of other runs, say.
_LONGEST_TURNS = 50
_LONGEST_PAUSE_S = 0.5


class ReplayOrder:
    """The order of a run's answers, by the number that each had when it ended."""

    def __init__(self, ends: Iterable[int]) -> None:
        self._ends = sorted(map(place_of, ends))
        self._next = 0  # which of them comes next
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._coming: list[int] = []  # ends of calls that wait to be cancelled
        self._numbered: dict[int, None] = {}  # ends of this sitting that are being journaled, in their order
        self._n_asked = 0
        self.loop: asyncio.AbstractEventLoop | None = None  # the run's own
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
        if end < 0:
            self._next += ~end == following
            return ~end <= following
        if end == following and (self._last is branch.task or self._last is None) and not _others_are_due(branch):
            self._next += 1
            self._last = branch.task
            return True
        return end < following

    async def answer(self, end: int, branch: Branch) -> None:
        """Wait until the answer with this number is next."""
        if not self.at_once(end, branch):
            await self._wait(place_of(end))
            self._give(place_of(end))
            self._last = branch.task

    @property
    def all_given(self) -> bool:
        """Whether no answer waits to be given."""
        return not self._waiting and not self._numbered

    def expect(self, end: int) -> None:
        """Called before a new answer is journaled: no later one is given before it."""
        self._numbered[end] = None

    def given_up(self, end: int) -> None:
        """Called where an expected answer could not be journaled, or nobody waits for it any more."""
        if end in self._numbered:
            del self._numbered[end]
            self._look_soon()

    def new_at_once(self, end: int, branch: Branch) -> bool:
        """As `at_once`, for an answer that was expected."""
        del self._numbered[end]
        if (self._last is branch.task or self._last is None) and not (
            self._waiting or self._numbered or _others_are_due(branch)
        ):
            self._last = branch.task
            return True
        return False

    async def new_answer(self, end: int, branch: Branch) -> None:
        """Wait until what follows all earlier answers has been done."""
        await self._wait(end)
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
        self._coming.append(end)
        timer = asyncio.get_running_loop().call_later(_LONGEST_PAUSE_S, self._come, end)
        try:
            yield
        finally:
            timer.cancel()
            self._come(end)

    def _come(self, end: int) -> None:
        if end in self._coming:
            self._coming.remove(end)
            self._take_out(end)
            self._look_soon()

    def _take_out(self, end: int) -> None:
        """Of a call that was given up: it may come before earlier answers, which are given all the same."""
        place = bisect.bisect_left(self._ends, end, self._next)
        if place < len(self._ends) and self._ends[place] == end:
            del self._ends[place]

    def _look_soon(self) -> None:
        if self._waiting and self.loop is not None:
            _quiet_of(self.loop).tell(self)

    def _give(self, end: int) -> None:
        while self._next < len(self._ends) and self._ends[self._next] <= end:
            self._next += 1

    async def _wait(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        if self.loop is None:
            self.loop = loop
        if self.loop is not loop:  # a thread with a loop of its own
            return
        turn = loop.create_future()
        self._n_asked += 1
        heapq.heappush(self._waiting, (end, self._n_asked, turn))
        self._look_soon()
        await turn

    def give_next(self) -> None:
        """Give the next answer; the loop has nothing else to do at once."""
        while self._may_give():
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                break
        if self._may_give():
            self._look_soon()

    def _may_give(self) -> bool:
        if not self._waiting:
            return False
        end = self._waiting[0][0]
        return not (self._coming and min(self._coming) < end) and not (
            self._numbered and next(iter(self._numbered)) < end
        )


class _Quiet:
    """Tells the runs of one loop when the loop has nothing else to do at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._told: list[ReplayOrder] = []  # runs that wait for it

    def tell(self, order: ReplayOrder) -> None:
        if order not in self._told:
            self._told.append(order)
            if len(self._told) == 1:
                self._look_again(0)

    def _look_again(self, n_turns: int) -> None:
        if (loop := self._loop()) is not None:
            loop.call_soon(self._look, loop, n_turns)

    def _look(self, loop: asyncio.AbstractEventLoop, n_turns: int) -> None:
        # Of a loop that does not tell what is due only the turns are counted.
        if anything_is_due(loop) is not False and n_turns < _LONGEST_TURNS:
            self._look_again(n_turns + 1)
            return
        told, self._told = self._told, []
        for order in told:
            order.give_next()


_quiet: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Quiet]" = weakref.WeakKeyDictionary()


def _quiet_of(loop: asyncio.AbstractEventLoop) -> _Quiet:
    found = _quiet.get(loop)
    if found is None:
        found = _quiet[loop] = _Quiet(loop)
    return found


def _others_are_due(branch: Branch) -> bool:
    """Whether another callback of the running loop is due that may be of another branch; also where it is not known."""
    return bool(branch.live) and anything_is_due(asyncio.get_running_loop()) is not False

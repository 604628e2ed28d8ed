"""What an endpoint allows that does not say so: a rate, found by being refused, and how many calls at once, found by answers that take no longer for it.

`bench/unknown_limits.py` says how fast they are found, and docs/lab-notes.md what else was tried.
"""

import math
import resource
from dataclasses import dataclass

_CUT = 0.95  # of the rate that passed, after a refusal
_FIRST_RAISE_S, _RAISE_S = (
    4.0,
    10.0,
)  # in which the rate is raised by a seventh, after the first refusal and after later ones; then faster
_RAISE, _MOST_RAISED = 0.1, 10.0  # exponents: of such a time, and the highest, for a limit that is gone
_ENOUGH, _LONG_ENOUGH_S = (
    10,
    1.0,
)  # calls that passed in so long tell a rate; so many for each that is refused, that the refused has its own reason
_BLOCK_S, _LONG_BLOCK_S, _WINDOW_S = (
    1.0,
    5.0,
    60.0,
)  # in which nothing passed: a window may be used up, or surely is; and how long most windows are
_OFTEN = 3  # times that a request is refused while others pass
_FIRST_HOLD_S, _LONGEST_HOLD_S = 0.25, 4.0  # between tries while nothing passes
_MOST_HALVINGS = 6  # while nothing passes
_SLOWEST = 1 / 30  # calls per second
_FIRST_IN_FLIGHT, _MOST_IN_FLIGHT, _OTHER_FILES = 32, 2048, 128
_CROWDED = 2.0  # times the least mean time of an answer: more at once would only wait longer
_FORGETS = 1.01  # a round, of that least time: the endpoint may have changed


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a request's refusals so far did: to which share they cut the rate, and how often others passed meanwhile; the last was heard of at that time, after
    so many answers and refusals of all requests.
    """

    at: float
    n_answered: int
    n_refused: int
    cut_to: float = 1.0
    alone: int = 0


class Pace:
    """Calls per second that pass, once there was a refusal; before it there is none.

    A refusal brings it to a little less than what passed since the last one; while there is none it grows, the longer the faster, as CUBIC's window does
    (RFC 9438). Refusals that follow at once halve it. Where nothing passes at all, a window (mostly a minute) is used up: tries grow rare, and the rate is then
    what passed from one reopening to the next, which over whole windows is exactly the limit.
    """

    def __init__(self, now: float) -> None:
        self._base: float | None = None  # calls per second at `_from`
        self.cut_at = self._from = now  # the last refusal that told something, and when calls began again after it
        self._raise_s = _FIRST_RAISE_S
        self._passed = 0  # calls since `_from` that were not refused
        self._opened_at, self._in_window, self._till_refused = (
            now,
            0,
            0,
        )  # the same since the last reopening: all, and those until the last refusal
        self._in_row, self._trouble_at, self._last_refused = (
            0,
            now,
            now,
        )  # refusals with nothing between, the first's time, and when the last's call began
        self._last_passed, self._n_answered, self._n_refused = (
            -math.inf,
            0,
            0,
        )  # when the last call that was answered began, and how many there were
        self.hold_s = 0.0  # in which to send nothing, after `cut_at`

    def per_s(self, now: float) -> float | None:
        """Calls per second now; None: none was refused yet."""
        if self._base is None:
            return None
        times = max(0.0, now - self._from) / self._raise_s
        return self._base * math.exp(min(_RAISE * (times + times**3 / 3), _MOST_RAISED))

    def sent(self) -> None:
        """A call begins."""
        self._passed, self._in_window = self._passed + 1, self._in_window + 1

    def refused(
        self, began: float, now: float, sent_per_s: float, until: float, earlier: Refusal | None = None
    ) -> Refusal:
        """A call that began then was refused while `sent_per_s` calls were sent; the endpoint wants none before `until`. `earlier`: the same request's last.

        A request that is refused again while others pass has a reason of its own (it may be larger than the limit): what its refusals did is taken back.
        """
        self._passed, self._in_window = self._passed - 1, self._in_window - 1
        cut_to, alone = (1.0, 0) if earlier is None else (earlier.cut_to, earlier.alone)
        per_s = self.per_s(now)
        if per_s is not None and earlier is not None and self._last_passed > earlier.at:
            alone += 1
            if (many := self._many_pass(earlier)) and cut_to < 1:
                self._base, self._from, self._passed, cut_to = per_s / cut_to, max(self._from, now), 0, 1.0
            if many or alone >= _OFTEN:
                return Refusal(now, self._n_answered, self._n_refused, cut_to, alone)
        self._n_refused += 1
        if per_s is not None and began <= self.cut_at:  # before the last refusal was heard of
            self._till_refused, self._last_refused = self._till_refused - 1, max(self._last_refused, began)
            return Refusal(now, self._n_answered, self._n_refused, cut_to, alone)
        self._cut(per_s, began, now, sent_per_s, until)
        before = sent_per_s if per_s is None else per_s
        return Refusal(
            now, self._n_answered, self._n_refused, cut_to * min(1.0, (self._base or before) / before), alone
        )

    def _many_pass(self, earlier: Refusal) -> bool:
        """Whether since that refusal many were answered for each that was refused."""
        answered, refused = self._n_answered - earlier.n_answered, self._n_refused - earlier.n_refused + 1
        return answered >= _ENOUGH * refused

    def _cut(self, per_s: float | None, began: float, now: float, sent_per_s: float, until: float) -> None:
        self._in_row, self._till_refused, self._last_refused = self._in_row + 1, self._in_window, began
        if self._in_row == 1:
            self._trouble_at = now
        if per_s is None:  # as many more as were answered were sent: half of them passed
            self._base = max(_SLOWEST, sent_per_s / 2)
        else:
            self._base, self._raise_s = max(_SLOWEST, self._less_than(per_s, now)), _RAISE_S
        hold_s = 0.0 if self._in_row == 1 else min(_FIRST_HOLD_S * 2 ** (self._in_row - 2), _LONGEST_HOLD_S)
        if until - now >= _LONG_BLOCK_S:
            self._by_window(until, now)
        self.cut_at, self._from, self._passed = now, max(now + hold_s, until), 0
        self.hold_s = self._from - now

    def _less_than(self, per_s: float, now: float) -> float:
        for_s = now - self._from
        if self._passed >= _ENOUGH and for_s >= _LONG_ENOUGH_S:
            return _CUT * min(per_s, self._passed / for_s)
        if self._in_row == 1:
            return _CUT * per_s
        return per_s / 2 if self._in_row <= _MOST_HALVINGS else per_s

    def answered(self, began: float) -> None:
        """A call that began then was answered."""
        self._last_passed, self._n_answered = max(self._last_passed, began), self._n_answered + 1
        if not self._in_row or began <= self._trouble_at:
            return
        self._in_row = 0
        if began <= self._last_refused:
            return  # some pass and some do not: it is the rate, and no window
        if began - self._trouble_at >= _BLOCK_S:
            self._by_window(began, began)
            self.cut_at, self._from, self._passed = began, began, self._in_window - self._till_refused
        self._opened_at, self._in_window, self._till_refused = began, self._in_window - self._till_refused, 0

    def _by_window(self, reopens_at: float, now: float) -> None:
        """Nothing passes until then: what passed since the last reopening is what a window holds."""
        window_s, surely = reopens_at - self._opened_at, reopens_at - self._trouble_at >= _LONG_BLOCK_S
        self._base = max(_SLOWEST, self._till_refused / window_s, 0.0 if surely else self.per_s(now) or 0.0)
        self._raise_s = min(max(window_s, _RAISE_S), _WINDOW_S) if surely else _RAISE_S


class InFlight:
    """How many calls may be under way: as stated; or 32 at first and, while answers take no longer for it, one more for each answer, which doubles them every
    round (TCP's slow start); once they did take longer, one more a round.
    """

    def __init__(self, stated: int | None) -> None:
        self.allowed = float(stated or _FIRST_IN_FLIGHT)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # each call has a connection
        self._most = (
            _MOST_IN_FLIGHT
            if files == resource.RLIM_INFINITY
            else max(_FIRST_IN_FLIGHT, min(_MOST_IN_FLIGHT, files - _OTHER_FILES))
        )
        self._grows, self._doubles = stated is None, True
        self._round, self._n, self._took_s = (
            self.allowed,
            0,
            0.0,
        )  # a round: as many answers as were allowed when it began
        self.mean_s: float | None = None  # that an answer took in the last round; in the first, that the first took
        self._least_s = math.inf  # of such means: single answers differ too much

    def answered(self, took_s: float, full: bool) -> bool:
        """An answer took so long, and since it began all places were taken at some time; whether more may be under way now."""
        self._n, self._took_s = self._n + 1, self._took_s + took_s
        if self.mean_s is None:
            self.mean_s = took_s
        if self._n >= self._round:
            self._end_round()
        if not self._grows or not full or took_s >= _CROWDED * min(self._least_s, self.mean_s):
            return False
        self.allowed = min(self._most, self.allowed + (1 if self._doubles else 1 / self.allowed))
        return True

    def _end_round(self) -> None:
        self.mean_s = self._took_s / self._n
        self._least_s = min(self._least_s * _FORGETS, self.mean_s)
        self._doubles &= self.mean_s < _CROWDED * self._least_s
        self._round, self._n, self._took_s = self.allowed, 0, 0.0

"""How fast an endpoint may be called that does not say so: calls per second, and calls under way at once.

`Pace` finds the calls per second by being refused. `InFlight` finds the calls under way by whether answers take longer.
`bench/unknown_limits.py` says how fast they find them, and docs/lab-notes.md what else was tried.
"""

import math
import resource
from dataclasses import dataclass

_CUT = 0.95  # after a refusal, calls go on at this share of the rate that passed before it
# Seconds in which the rate grows by a seventh (faster from then on): after the first refusal, and after later ones.
_FIRST_RAISE_S, _RAISE_S = 4.0, 10.0
_RAISE = 0.1  # the rate grows by exp(_RAISE * (t + t^3 / 3)); t = 1 after _FIRST_RAISE_S or _RAISE_S seconds
_MOST_RAISED = 10.0  # the highest exponent of the rate's growth, reached where a limit has gone
_MEASURED_N, _MEASURED_S = 10, 1.0  # a rate is measured on at least so many calls, over at least so many seconds
# Answers to other requests per refusal of one request; with so many, the refused request itself is at fault.
_OTHERS_PASS = 10
_OFTEN = 3  # refusals of one request while others pass; after so many, too, that request itself is at fault
# Some limits are a number of calls per window, mostly a minute. Once they are used up, nothing passes until the next.
_BLOCKED_S = 1.0  # after so many seconds in which nothing passed, a window may be used up
_SURELY_BLOCKED_S = 5.0  # after so many seconds in which nothing passed, a window surely is used up
_WINDOW_S = 60.0  # the length of most windows, in seconds
# Seconds between two tries while nothing passes: the first and the longest wait; each doubles the last.
_FIRST_HOLD_S, _LONGEST_HOLD_S = 0.25, 4.0
_MOST_HALVINGS = 6  # how often the rate may be halved while no call gets through
_SLOWEST_PER_S = 1 / 30

_FIRST_IN_FLIGHT, _MOST_IN_FLIGHT = 32, 2048
_OTHER_FILES = 128  # files that the process may open beside the connections of its calls
_CROWDED = 2.0  # answers that take so many times the shortest mean are slow: more calls at once would only wait longer
# Factor by which the shortest mean grows each round, so that an old one is forgotten: the endpoint may change.
_FORGET = 1.01


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is known of a request that was refused, once or several times, when its last refusal came."""

    at: float
    n_answered: int  # answers to all requests until this request's last refusal
    n_refused: int  # refusals of all requests until this request's last refusal
    cut_to: float = 1.0  # the share of the rate that is left after this request's refusals
    alone: int = 0  # how many of this request's refusals came while other requests passed


class Pace:
    """Calls per second that pass. Before the first refusal there is no such limit.

    A refusal brings the rate to a little less than what passed since the last refusal. Without refusals it grows, the
    longer the faster, as CUBIC's window does (RFC 9438). Refusals that follow at once halve it.

    Where nothing passes at all, a window (mostly a minute) is used up. Then tries become rare. When calls pass again,
    the rate is what passed between two reopenings: over whole windows that is exactly the limit.
    """

    def __init__(self, now: float) -> None:
        self.cut_at = now  # time of the last refusal that told something about the rate
        self.hold_s = 0.0  # seconds from `cut_at` on in which nothing is sent
        # Where the rate grows from: its value, the time, and the calls sent since that time and not refused.
        self._base_per_s: float | None = None
        self._base_at = now
        self._raise_s = _FIRST_RAISE_S
        self._n_passed = 0
        # Since a window was last seen to open: the time, the calls sent, and the calls sent until the last refusal.
        self._opened_at = now
        self._n_in_window = self._n_until_refusal = 0
        # Refusals in a row, with no answer between: how many, when the first came, when the last one's call began.
        self._n_in_row = 0
        self._trouble_at = self._refused_call_at = now
        # All answers and refusals, and when the latest of the answered calls began.
        self._n_answered = self._n_refused = 0
        self._answered_call_at = -math.inf

    def per_s(self, now: float) -> float | None:
        """Calls per second now; None: no call was refused yet."""
        if self._base_per_s is None:
            return None
        times = max(0.0, now - self._base_at) / self._raise_s
        return self._base_per_s * math.exp(min(_RAISE * (times + times**3 / 3), _MOST_RAISED))

    def sent(self) -> None:
        """A call begins. It counts as one that passed until it is refused."""
        self._n_passed += 1
        self._n_in_window += 1

    def refused(
        self, began: float, now: float, sent_per_s: float, until: float, earlier: Refusal | None = None
    ) -> Refusal:
        """A call that began at `began` was refused, and the endpoint wants no other before `until`.

        `sent_per_s`: calls that were sent each second. `earlier`: the last refusal of the same request. A request that
        is refused again while others pass has a reason of its own (it may be larger than the limit): then what its
        refusals did to the rate is undone.
        """
        self._n_passed -= 1
        self._n_in_window -= 1
        cut_to, alone = (1.0, 0) if earlier is None else (earlier.cut_to, earlier.alone)
        per_s = self.per_s(now)
        if per_s is not None and earlier is not None and self._answered_call_at > earlier.at:
            alone += 1
            others_pass = self._others_pass(earlier)
            if others_pass and cut_to < 1:
                self._base_per_s, self._base_at, self._n_passed = per_s / cut_to, max(self._base_at, now), 0
                cut_to = 1.0
            if others_pass or alone >= _OFTEN:
                return Refusal(now, self._n_answered, self._n_refused, cut_to, alone)
        self._n_refused += 1
        if per_s is not None and began <= self.cut_at:
            # The call was sent before the rate was cut, so its refusal says nothing of the rate that holds now.
            self._n_until_refusal -= 1
            self._refused_call_at = max(self._refused_call_at, began)
        else:
            cut_per_s = self._cut(per_s, began, now, sent_per_s, until)
            cut_to *= min(1.0, cut_per_s / (sent_per_s if per_s is None else per_s))
        return Refusal(now, self._n_answered, self._n_refused, cut_to, alone)

    def _others_pass(self, earlier: Refusal) -> bool:
        """Whether many requests were answered since that refusal for each one that was refused."""
        n_answered = self._n_answered - earlier.n_answered
        n_refused = self._n_refused - earlier.n_refused + 1
        return n_answered >= _OTHERS_PASS * n_refused

    def _cut(self, per_s: float | None, began: float, now: float, sent_per_s: float, until: float) -> float:
        """Lower the rate, and give the new one."""
        self._n_in_row += 1
        self._n_until_refusal, self._refused_call_at = self._n_in_window, began
        if self._n_in_row == 1:
            self._trouble_at = now
        if per_s is None:
            # Until a first refusal the calls under way doubled each round (`InFlight`): half this rate is known to
            # pass.
            base_per_s = sent_per_s / 2
        else:
            base_per_s, self._raise_s = self._lower(per_s, now), _RAISE_S
        self._base_per_s = max(_SLOWEST_PER_S, base_per_s)
        hold_s = 0.0 if self._n_in_row == 1 else min(_FIRST_HOLD_S * 2 ** (self._n_in_row - 2), _LONGEST_HOLD_S)
        if until - now >= _SURELY_BLOCKED_S:
            self._by_window(until, now)
        self.cut_at, self._base_at, self._n_passed = now, max(now + hold_s, until), 0
        self.hold_s = self._base_at - now
        return self._base_per_s

    def _lower(self, per_s: float, now: float) -> float:
        """A lower rate than the one that was refused."""
        seconds = now - self._base_at
        if self._n_passed >= _MEASURED_N and seconds >= _MEASURED_S:
            return _CUT * min(per_s, self._n_passed / seconds)
        if self._n_in_row == 1:
            return _CUT * per_s
        return per_s / 2 if self._n_in_row <= _MOST_HALVINGS else per_s

    def answered(self, began: float) -> None:
        """A call that began at `began` was answered."""
        self._answered_call_at, self._n_answered = max(self._answered_call_at, began), self._n_answered + 1
        if not self._n_in_row or began <= self._trouble_at:
            return
        self._n_in_row = 0
        if began <= self._refused_call_at:
            return  # a call that was sent later was refused: the rate is too high, and no window is used up
        n_since_refusal = self._n_in_window - self._n_until_refusal
        if began - self._trouble_at >= _BLOCKED_S:
            self._by_window(began, began)
            self.cut_at, self._base_at, self._n_passed = began, began, n_since_refusal
        self._opened_at, self._n_in_window, self._n_until_refusal = began, n_since_refusal, 0

    def _by_window(self, reopens_at: float, now: float) -> None:
        """Set the rate by a window that is used up: it held what passed since it opened.

        `reopens_at` is when the next window opens.
        """
        window_s = reopens_at - self._opened_at
        window_per_s = max(_SLOWEST_PER_S, self._n_until_refusal / window_s)
        if reopens_at - self._trouble_at >= _SURELY_BLOCKED_S:
            self._base_per_s, self._raise_s = window_per_s, min(max(window_s, _RAISE_S), _WINDOW_S)
        else:
            self._base_per_s, self._raise_s = max(window_per_s, self.per_s(now) or 0.0), _RAISE_S


class InFlight:
    """How many calls may be under way: as many as `stated`, or else as the answers show.

    Unless it is stated, the number begins at 32 and grows while answers do not take longer for it. A round is as many
    answers as calls were allowed when it began. At first each answer allows one call more, which doubles the number
    every round (TCP's slow start). Once answers did take longer, each round allows one more.
    """

    def __init__(self, stated: int | None) -> None:
        self.allowed = float(stated or _FIRST_IN_FLIGHT)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # each call has a connection, which is a file
        self._most = _MOST_IN_FLIGHT
        if files != resource.RLIM_INFINITY:
            self._most = max(_FIRST_IN_FLIGHT, min(_MOST_IN_FLIGHT, files - _OTHER_FILES))
        self._grows, self._doubles = stated is None, True
        # Answers that make a round, answers so far in this round, and the seconds these took together.
        self._round_n, self._n, self._took_s = self.allowed, 0, 0.0
        # Mean seconds of an answer in the last round; in the first round, the seconds of the first answer.
        self.mean_s: float | None = None
        self._shortest_mean_s = math.inf  # the shortest mean of all rounds; single answers differ too much

    def answered(self, took_s: float, full: bool) -> bool:
        """An answer came after `took_s`. Gives whether more calls may be under way now.

        `full`: at some time since its call began, as many calls were under way as were allowed.
        """
        self._n, self._took_s = self._n + 1, self._took_s + took_s
        if self.mean_s is None:
            self.mean_s = took_s
        if self._n >= self._round_n:
            self._end_round()
        if not self._grows or not full or took_s >= _CROWDED * min(self._shortest_mean_s, self.mean_s):
            return False
        self.allowed = min(self._most, self.allowed + (1 if self._doubles else 1 / self.allowed))
        return True

    def _end_round(self) -> None:
        self.mean_s = self._took_s / self._n
        self._shortest_mean_s = min(self._shortest_mean_s * _FORGET, self.mean_s)
        self._doubles &= self.mean_s < _CROWDED * self._shortest_mean_s
        self._round_n, self._n, self._took_s = self.allowed, 0, 0.0

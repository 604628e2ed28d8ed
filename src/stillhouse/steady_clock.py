"""The time of day for what is put in order or measured by it: it never goes back, though the machine's clock may."""

import time
from collections.abc import Callable

_STEP_BACK_S = 1.0  # less is what clocks are corrected by all the time


class SteadyClock:
    """Seconds since 1970. Where the clock is set back, time goes on from where it was, as the monotonic clock tells."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._last = (wall(), monotonic())

    def __call__(self) -> float:
        now, ticks = self._wall(), self._monotonic()
        expected = self._last[0] + ticks - self._last[1]
        self._last = (now if now > expected - _STEP_BACK_S else expected, ticks)
        return self._last[0]


steady_time = SteadyClock()

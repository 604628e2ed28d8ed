"""More training rows for a student that fails: whether to buy any, how many before the next look, with what chance.

A doubling is worth a thought where the last doubling's gain, made again, would reach what is wanted. That is a hope and
no bound: in real curves the next gain was larger in more than two of five cases, and smaller in the others. So the
doubling is bought in two parts. First 0.41 times as many rows (half an octave), then a look: the rest is bought only if
the half step's gain, made again, reaches what is wanted.

How likely it is comes from the learning curves behind Le Scao & Rush 2021 (`gain_ratios`, made and scored one task at a
time by `bench/gains.py`): RoBERTa-large on six tasks of language understanding. Another task or student may differ.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stillhouse.advice import gain_ratios as real
from stillhouse.results.learning_curves import CurvePoint
from stillhouse.results.verdict import HalfStep

RATIOS = tuple(tenth / 10 for tenth in range(11))  # the wanted gains that are tabled, as shares of the last doubling's
HALF_STEP = math.sqrt(2)
LEAST_STEP = 2**0.25  # rows fewer than a quarter of an octave more are no half step: their gain is noise
TIE = 1e-9  # scores that differ by less are equal
NEARLY = 0.95  # who bought this share of a doubling has bought it


@dataclass(frozen=True, kw_only=True)
class Climb:
    """The end of a curve: the mean `score` at its largest size `n`, and the `gain` of the doubling that led there.

    `step`: what an earlier look asked for and was bought since, with what it `gained` on this curve.
    """

    n: int
    score: float
    gain: float
    step: HalfStep | None = None
    gained: float = 0.0


@dataclass(frozen=True, kw_only=True)
class NextRows:
    """What to buy before the next look: `n_rows`, the first part of a doubling that ends at `until` rows.

    `go_on_from`: the score from which on the rest is bought, too; None: this is the rest. `reach`: the share of
    `n_curve_points` points of real curves that gained what is wanted by the doubling's end; `found`: by this plan,
    which looks halfway and goes on in the share `go_on`.
    """

    arm: str
    begun_at: int
    n: int
    n_rows: int
    until: int
    wanted: float
    go_on_from: float | None
    reach: float
    found: float
    go_on: float
    n_curve_points: int

    @property
    def n_rest(self) -> int:
        """Rows that are left of the doubling after these."""
        return self.until - self.n - self.n_rows

    @property
    def expected_rows(self) -> float:
        """Rows that the plan buys on average."""
        return self.n_rows + self.go_on * self.n_rest


def climb(name: str, points: Sequence[CurvePoint], bought: Sequence[HalfStep] = ()) -> Climb | None:
    """The end of the curve of `name`; None with fewer than two sizes. `bought`: what earlier looks asked for."""
    if len(points) < 2:
        return None
    last = points[-1]
    doubled = max(last.n / 2, points[0].n)  # the doubling's first size, as far down as there are sizes
    gain = max(0.0, last.mean - _score_at(points, doubled)) / math.log2(last.n / doubled)
    under_way = [step for step in bought if step.arm == name and LEAST_STEP * step.n <= last.n < NEARLY * step.until]
    step = max(under_way, key=lambda step: step.n, default=None)
    if step is None or step.n < points[0].n:
        return Climb(n=last.n, score=last.mean, gain=gain)
    gained = last.mean - _score_at(points, step.n)
    return Climb(n=last.n, score=last.mean, gain=gain, step=step, gained=gained)


def hoped(climb: Climb) -> float:
    """The score at the doubling's end if the last gain comes again: the half step's where one was bought."""
    if climb.step is None:
        return climb.score + climb.gain
    steps = math.log2(climb.step.until / climb.n) / math.log2(climb.n / climb.step.n)
    return climb.score + max(0.0, climb.gained) * steps


def next_rows(name: str, climb: Climb, wanted: float) -> NextRows | None:
    """The rows to buy so that the student may come to `wanted`; None where the last gain made again would not do."""
    if hoped(climb) < wanted - TIE:
        return None
    if climb.step is not None:
        return NextRows(
            arm=name,
            begun_at=climb.step.n,
            n=climb.n,
            n_rows=climb.step.until - climb.n,
            until=climb.step.until,
            wanted=wanted,
            go_on_from=None,
            reach=real.AFTER_GOING_ON,
            found=real.AFTER_GOING_ON,
            go_on=1.0,
            n_curve_points=real.N_WENT_ON,
        )
    missing = max(0.0, wanted - climb.score)
    ratio = missing / climb.gain if missing > TIE else 0.0
    return NextRows(
        arm=name,
        begun_at=climb.n,
        n=climb.n,
        n_rows=round(HALF_STEP * climb.n) - climb.n,
        until=2 * climb.n,
        wanted=wanted,
        go_on_from=climb.score + missing / 2,
        reach=_tabled(real.REACH, ratio),
        found=_tabled(real.FOUND, ratio),
        go_on=_tabled(real.GO_ON, ratio),
        n_curve_points=real.N_POINTS,
    )


def _tabled(shares: Sequence[float], ratio: float) -> float:
    return float(np.interp(ratio, RATIOS, shares))


def _score_at(points: Sequence[CurvePoint], n: float) -> float:
    """Read between sizes on a line in log2 n."""
    sizes, means = np.log2([point.n for point in points]), [point.mean for point in points]
    return float(np.interp(math.log2(n), sizes, means))

"""The data advantage as Le Scao & Rush 2021 (2103.08493, section 4) computed it: their figures, met on their own runs.

A curve is the best run at each size, then the running maximum over sizes, on straight lines in the size itself. The
advantage is the mean horizontal distance of two curves over the scores that both reach. Its spread is the standard
deviation (population) over all ways to hold out one run of each arm, curves and window drawn anew each time.

It is here to reproduce and to compare, not to decide. The best of several runs flatters, the more so the more runs
there are. And the hold-outs share most of their runs, so their spread is no standard error.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stillhouse.advice.curves import RunScores
from stillhouse.advice.monotone import Floats, mean_size


@dataclass(frozen=True)
class Reproduced:
    """The paper's advantage and its spread.

    `advantage` None: no score is reached by both. `hold_outs` are the values that the spread is of; `n_empty` of them
    had no window. `spread` None: an arm has one run alone, or a hold-out's window is a single score.
    """

    advantage: float | None
    spread: float | None
    window: tuple[float, float]
    hold_outs: tuple[float, ...]
    n_empty: int
    for_empty: float | None  # the score that each hold-out without a window was counted as


@dataclass(frozen=True)
class Accumulated:
    """A curve of this protocol: sizes ascending, the best score seen so far at each."""

    sizes: tuple[int, ...]
    scores: Floats


def accumulated(arm: RunScores, without: str | None = None) -> Accumulated | None:
    """The best of the runs at each size, then the running maximum.

    None where nothing is left once `without` (a seed) is held out.
    """
    best = {n: [score for seed, score in arm.runs[n].items() if seed != without] for n in arm.sizes}
    sizes = tuple(n for n in arm.sizes if best[n])
    return Accumulated(sizes, np.maximum.accumulate([max(best[n]) for n in sizes])) if sizes else None


def shared_window(curves: Sequence[Accumulated], full_range: bool) -> tuple[float, float]:
    """The scores that all curves reach, or with `full_range` those that any does. Low above high: they share none."""
    lows, highs = [float(curve.scores[0]) for curve in curves], [float(curve.scores[-1]) for curve in curves]
    return (min(lows), max(highs)) if full_range else (max(lows), min(highs))


def reproduce(
    better: RunScores, worse: RunScores, *, window_of: Sequence[RunScores] = (), full_range: bool = False
) -> Reproduced:
    """The advantage of `better` over `worse` in training rows.

    `window_of`: the arms whose common scores are the window; default these two. The paper compares its null verbalizer
    over the window of prompt and head. `full_range`: every score that an arm of the window reaches, sizes outside an
    arm's own range counted as its first or last; so the paper does for MultiRC.
    """
    arms = {arm.name: arm for arm in (better, worse, *window_of)}
    within = [arm.name for arm in window_of] or [better.name, worse.name]
    whole = {name: curve for name, arm in arms.items() if (curve := accumulated(arm))}
    window = shared_window([whole[name] for name in within], full_range)
    advantage = _distance(whole[better.name], whole[worse.name], window) if window[0] < window[1] else None
    values: list[float] = []
    empty: list[float] = []
    for held_out in itertools.product(*(arm.seeds for arm in arms.values())):
        curves = {
            name: curve
            for (name, arm), seed in zip(arms.items(), held_out, strict=True)
            if (curve := accumulated(arm, seed))
        }
        if len(curves) < len(arms):
            return Reproduced(advantage, None, window, (), 0, None)
        low, high = shared_window([curves[name] for name in within], full_range)
        if low == high:
            return Reproduced(advantage, None, window, (), 0, None)
        values.append(
            _distance(curves[better.name], curves[worse.name], (low, high))
            if low < high
            else _out_of_reach(curves[better.name], curves[worse.name])
        )
        empty += values[-1:] if low > high else []
    return Reproduced(advantage, float(np.std(values)), window, tuple(values), len(empty), empty[0] if empty else None)


def _distance(better: Accumulated, worse: Accumulated, window: tuple[float, float]) -> float:
    sizes = (mean_size(curve.sizes, curve.scores, *window, log=False) for curve in (worse, better))
    return float(next(sizes) - next(sizes))


def _out_of_reach(better: Accumulated, worse: Accumulated) -> float:
    """What the published spread counts where no score is common: the whole range of sizes, with its sign turned.

    The sign turns because the window's height is negative. Nothing defends that: COPA's printed spread of 242 comes
    from three hold-outs that each count -340 (sizes 10 to 350), and without them it is 13.
    """
    if better.scores[0] > worse.scores[-1]:
        return float(better.sizes[0] - worse.sizes[-1])
    return float(better.sizes[-1] - worse.sizes[0])

"""Where two learning curves cross: the size from which on one arm is ahead for good, or why there is no such size.

With runs to resample, the lead of one arm over the other is itself made monotone in size. Noise where two curves are
close would else make crossings of its own: nominal 0.95 then covered 0.85 to 0.94 of near ties, and 0.93 to 0.98 with
the monotone lead (simulated, 300 draws each). So it is assumed that the order changes once, and that is checked: where
the runs show more than one change beyond their noise, no single size is given.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stillhouse.advice.curves import finite, size_interval
from stillhouse.advice.falls import sign_changes
from stillhouse.advice.monotone import Floats, caught_up, crossings, isotonic, lead
from stillhouse.results.learning_curves import Censored

TIE = 1e-12  # leads this small are rounding


@dataclass(frozen=True)
class CurveRead:
    """A curve as its protocol reads it: `fitted` is isotonic means (ours) or the accumulated maximum (lescao2021).

    `band`: the interval of `fitted` at each size by itself; None under lescao2021, and where a size has a single run.
    """

    name: str
    sizes: tuple[int, ...]
    fitted: tuple[float, ...]
    n_runs: tuple[int, ...]  # number of runs at each size
    band: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """Where the curves cross: from `n_star` training rows on `leader` is ahead for good.

    `n_star` None with "<=": `leader` is nowhere behind; with ">": it is ahead nowhere yet; with neither: no single
    size, and `sentence` says why. `level` is the interval's; None: there is none. With an interval, `low` None: it
    reaches below the smallest shared size; `high` None: beyond the largest. `crossings`: every size at which the fitted
    curves cross, by noise or not.
    """

    leader: str
    n_star: float | None
    low: float | None
    high: float | None
    level: float | None
    censored: Censored | None
    crossings: tuple[float, ...]
    sentence: str


def find_crossover(
    better: CurveRead,
    worse: CurveRead,
    drawn: tuple[Floats, Floats] | None,
    level: float,
    *,
    log: bool,
    falls: Sequence[str] = (),
) -> Crossover:
    """`drawn`: the two curves' resamples (resamples, sizes).

    Where it is None the fitted curves alone decide, and there is no interval. `falls`: what is said of curves that fall
    beyond noise; where there is one, no size is given.
    """
    grid, ahead = lead(worse.sizes, worse.fitted, better.sizes, better.fitted, log=log)
    if not grid.size:
        nothing_shared = f"{better.name} and {worse.name} have no training size in common"
        return _none(worse, (), f"where the curves cross is unknown: {nothing_shared}")
    ahead = np.where(np.abs(ahead) < TIE, 0.0, ahead)
    sizes = tuple(crossings(grid, ahead, log=log))
    if falls:
        return _none(worse, sizes, f"{'; '.join(falls)}: no single size is the crossover")
    leads = None if drawn is None else lead(worse.sizes, drawn[1], better.sizes, drawn[0], log=log)[1]
    changes = len(sizes) if leads is None else sign_changes(leads, level)
    if changes > 1:
        noise = "" if leads is None else f" ({changes} times beyond the noise of the runs)"
        times = "once" if len(sizes) == 1 else f"{len(sizes)} times"
        where = f"the curves cross {times}, at about {_listed(sizes)} training rows{noise}"
        return _none(worse, sizes, f"{where}, so no single size is the crossover")
    signs = ahead[ahead != 0]
    # Arm `worse` leads at the smallest sizes, `better` at the largest.
    falls_back = bool(signs.size and signs[0] > 0 > signs[-1])
    leader, other, sign = (better, worse, -1.0) if falls_back else (worse, better, 1.0)
    low = high = None
    if leads is None:
        n_star = float(caught_up(grid, sign * ahead, log=log))
    else:
        n_star = float(caught_up(grid, isotonic(sign * ahead), log=log))
        caught = caught_up(grid, isotonic(sign * leads), log=log)
        low, high = size_interval(caught, level, float(grid[0]), float(grid[-1]))
    censored: Censored | None = "<=" if n_star == -math.inf else ">" if n_star == math.inf else None
    sentence = _sentence(leader.name, other.name, n_star, grid)
    if len(sizes) > 1:
        sentence += (
            f"; the curves as fitted cross {len(sizes)} times (at about {_listed(sizes)}), "
            "but no more than once beyond the noise of the runs"
        )
    return Crossover(
        leader=leader.name,
        n_star=finite(n_star),
        low=low,
        high=high,
        level=None if leads is None else level,
        censored=censored,
        crossings=sizes,
        sentence=sentence,
    )


def _none(worse: CurveRead, sizes: tuple[float, ...], sentence: str) -> Crossover:
    """No single size; `sizes` are those at which the curves cross."""
    return Crossover(
        leader=worse.name,
        n_star=None,
        low=None,
        high=None,
        level=None,
        censored=None,
        crossings=sizes,
        sentence=sentence,
    )


def _listed(sizes: Sequence[float]) -> str:
    *first, last = [f"{n:,.0f}" for n in sizes]
    return f"{', '.join(first)} and {last}" if first else last


def _sentence(leader: str, other: str, n_star: float, grid: Floats) -> str:
    if n_star == -math.inf:
        return f"{leader} is not behind {other} anywhere from {grid[0]:,.0f} to {grid[-1]:,.0f} training rows"
    if n_star == math.inf:
        return f"{leader} does not catch up with {other} by {grid[-1]:,.0f} training rows"
    return f"{leader} catches up with {other} at about {n_star:,.0f} training rows"

"""`curves`: what one arm is worth against another, from a file of anybody's runs.

The data advantage, the crossover, the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stillhouse.advice.advantage import Advantage, Protocol, data_advantage
from stillhouse.advice.crossover import CurveRead
from stillhouse.advice.curves import RunScores
from stillhouse.advice.monotone import score_at, size_at
from stillhouse.advice.scores_csv import ScoreFile, read_scores
from stillhouse.errors import ExistsError, UserError
from stillhouse.report.advantage import AdvantagePicture, DrawnCurve, advantage_plot
from stillhouse.report.html import standalone
from stillhouse.runs import write_atomic

_ROUNDING = 1e-9
STEPS = 80  # points along a drawn line: every few pixels, and every column of the terminal's plot


@dataclass(frozen=True)
class ComparedCurves:
    """Two arms' curves. `picture` is what `plot`, the SVG file, shows, if one was asked for."""

    advantage: Advantage
    picture: AdvantagePicture
    plot: Path | None


def curves(
    runs: Path,
    *,
    better: str,
    worse: str,
    protocol: Protocol = "ours",
    full_range: bool = False,
    window_of: Sequence[str] = (),
    at: float | None = None,
    plot: Path | None = None,
) -> ComparedCurves:
    """Compare two arms of a CSV file (arm, n, seed, score).

    Raises UserError for a file, an arm or a pair of curves that cannot be compared.
    """
    if plot is not None and plot.exists():
        raise ExistsError(f"{plot} is there already; give another file, nothing is overwritten")
    scores = read_scores(runs)
    arms = _arm(scores, better), _arm(scores, worse)
    window = [_arm(scores, name) for name in window_of]
    advantage = data_advantage(*arms, protocol=protocol, full_range=full_range, window_of=window, at=at)
    advantage = replace(advantage, notes=(*scores.notes, *advantage.notes))
    picture = picture_of(advantage, arms)
    if plot is not None:
        write_atomic(plot, standalone(advantage_plot(picture)))
    return ComparedCurves(advantage, picture, plot)


def picture_of(advantage: Advantage, arms: tuple[RunScores, RunScores]) -> AdvantagePicture:
    """What there is to draw. A size of 0 is left out: it has no place on a log axis."""
    log = advantage.protocol == "ours"
    levels = np.linspace(*advantage.window, STEPS)

    def sizes_at_levels(read: CurveRead) -> list[float]:
        """The rows that the arm needs for each score of the window."""
        fitted = np.broadcast_to(read.fitted, (STEPS, len(read.sizes)))
        sizes: list[float] = np.clip(size_at(read.sizes, fitted, levels, log=log), *_ends(read)).tolist()
        return sizes

    better, worse = advantage.curves
    crossover = advantage.crossover
    return AdvantagePicture(
        title=f"{advantage.in_words}{', by fits that never fall' if advantage.cautions else ''}",
        curves=(_drawn(better, arms[0], log), _drawn(worse, arms[1], log)),
        window=advantage.window,
        between=tuple(zip(levels.tolist(), sizes_at_levels(better), sizes_at_levels(worse), strict=True)),
        n_star=crossover.n_star,
        n_low=crossover.low,
        n_high=crossover.high,
    )


def _ends(read: CurveRead) -> tuple[int, int]:
    first = next(n for n in read.sizes if n > 0)
    return first, read.sizes[-1]


def _drawn(read: CurveRead, arm: RunScores, log: bool) -> DrawnCurve:
    """What is shown at a size is what was measured there.

    Where the fit says something else, the band is left out: it is the fit's. Under lescao2021 it is the best so far.
    """
    steps = np.geomspace(*_ends(read), STEPS)
    shown = arm.means().tolist() if log else list(read.fitted)
    bands = [
        ends if abs(mean - fit) < _ROUNDING else (None, None)
        for mean, fit, ends in zip(shown, read.fitted, read.band or [(None, None)] * len(shown), strict=True)
    ]
    return DrawnCurve(
        read.name,
        tuple((n, score) for n in arm.sizes for score in arm.runs[n].values() if n > 0),
        tuple((n, score, *ends) for n, score, ends in zip(read.sizes, shown, bands, strict=True) if n > 0),
        tuple(zip(steps.tolist(), score_at(read.sizes, read.fitted, steps, log=log).tolist(), strict=True)),
    )


def _arm(scores: ScoreFile, name: str) -> RunScores:
    if name not in scores.arms:
        raise UserError(f"{scores.path}: holds no arm {name!r}; it holds {', '.join(scores.arms)}")
    return scores.arms[name]

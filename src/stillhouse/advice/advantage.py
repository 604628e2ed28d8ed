"""The data advantage: how many training rows a better arm is worth, read off as the distance between learning curves.

The question is Le Scao & Rush's (2021, "How many data points is a prompt worth?", 2103.08493). Two answers: `ours`, the
default, compares the curves that a user can expect (means over seeds, isotonic, sizes on a log2 axis) and gives
intervals; `lescao2021` is the paper's own, kept in `lescao2021`.

The mean distance over a window of scores depends on the window. So the window is part of the answer, and there is no
answer where the curves share no score.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from stillhouse.advice.crossover import Crossover, CurveRead, find_crossover
from stillhouse.advice.curves import N_RESAMPLES, ArmScores, RunScores, finite, order_interval, resampled, size_interval
from stillhouse.advice.falls import fall_in_words
from stillhouse.advice.lescao2021 import accumulated, reproduce
from stillhouse.advice.monotone import Floats, isotonic, mean_log2_size, mean_size, size_at
from stillhouse.errors import UserError

Protocol = Literal["ours", "lescao2021"]
# The sizes at which the better arm was measured, then those of the worse arm.
Sizes = tuple[tuple[int, ...], tuple[int, ...]]
MIN_RUNS = 3  # fewest runs at each size; with two, nominal 0.95 covered 0.81 to 0.93 (simulated, 100 draws each)
FLAT = 1e-9  # a window of scores narrower than this, relative to the scores, is rounding


@dataclass(frozen=True)
class Ranged:
    """A number of training rows, or a ratio of two, with its interval.

    None: not known, or beyond what the sizes tried can tell.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class AtScore:
    """What each arm needs for one score. `advantage` = `worse_n` - `better_n`, `ratio` = `worse_n` / `better_n`."""

    score: float
    better_n: Ranged
    worse_n: Ranged
    advantage: Ranged
    ratio: Ranged


@dataclass(frozen=True, kw_only=True)
class Advantage:
    """How many training rows `better` is worth against `worse`; negative where it is `worse` that needs fewer.

    `interval` and `ratio` (of sizes, a geometric mean over the window) are ours. `spread`, the population standard
    deviation of the hold-outs, is lescao2021's. Each is None under the other protocol, and where it cannot be computed;
    then a note says why. `cautions`, which are also the first `notes`, say what the numbers hide: they are read first.
    """

    protocol: Protocol
    better: str
    worse: str
    advantage: float
    spread: float | None
    interval: tuple[float, float] | None
    level: float
    ratio: Ranged | None
    window: tuple[float, float]
    full_range: bool
    crossover: Crossover
    at: AtScore | None
    curves: tuple[CurveRead, CurveRead]
    n_hold_outs: int | None = None
    n_empty_hold_outs: int | None = None
    notes: tuple[str, ...] = field(default=())
    cautions: tuple[str, ...] = field(default=())

    @property
    def in_words(self) -> str:
        """What the better arm is worth; where it needs more rows than the other one, how many more."""
        rows, spread = _rows(abs(self.advantage)), "" if self.spread is None else f" ± {_rows(self.spread)}"
        aside = ""
        if self.interval is not None:
            low, high = self.interval
            if min(low, high) < 0 < max(low, high):
                aside = f" [from {_rows(-low)} more to {_rows(high)} fewer]"
            else:
                spread = f" [{', '.join(_rows(end) for end in sorted(map(abs, self.interval)))}]"
        if rows == "0":
            return f"{self.better} is worth no training rows against {self.worse}{spread}{aside}"
        if self.advantage < 0:
            return f"{self.better} needs {rows}{spread} more training rows than {self.worse}{aside}"
        return f"{self.better} is worth {rows}{spread} training rows against {self.worse}{aside}"


def _rows(n: float) -> str:
    return f"{n:,.0f}"


def data_advantage(
    better: ArmScores,
    worse: ArmScores,
    *,
    protocol: Protocol = "ours",
    full_range: bool = False,
    window_of: Sequence[ArmScores] = (),
    at: float | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Advantage:
    """Compare two arms' learning curves.

    The bootstrap draws rows and seeds of `RowScores`, and seeds alone of `RunScores`. `full_range`: over every score
    that either arm reaches; sizes outside an arm's own count as its smallest or largest, so the answer is a bound.
    `window_of`: the arms whose common scores are the window, where these are not the two compared. `at`: the score at
    which to compare sizes (ours), by default the middle of the window. Raises UserError where there is no window, or an
    arm has no curve.
    """
    if len({better.name, worse.name}) < 2:
        raise UserError(f"{better.name!r} is compared with itself; name two arms")
    for arm in (better, worse):
        if len(arm.sizes) < 2:
            raise UserError(
                f"{arm.name}: one training size (n = {arm.sizes[0]:,}) is no learning curve; measure at least two"
            )
    if protocol == "lescao2021":
        if at is not None:
            raise UserError(
                "--at compares sizes at one score, which --protocol lescao2021 does not; leave one of them out"
            )
        return _lescao2021(better.by_run(), worse.by_run(), [arm.by_run() for arm in window_of], full_range, level)
    for arm in (better, worse):
        if arm.sizes[0] == 0:
            raise UserError(
                f"{arm.name}: n = 0 has no place on a log2 axis; "
                "leave that size out, or take --protocol lescao2021, whose axis is linear"
            )
    return _ours(better, worse, window_of, full_range, at, level, seed)


def _ours(
    better: ArmScores,
    worse: ArmScores,
    window_of: Sequence[ArmScores],
    full_range: bool,
    at: float | None,
    level: float,
    seed: int,
) -> Advantage:
    arms = list({arm.name: arm for arm in (better, worse, *window_of)}.values())
    of_window = [arm.name for arm in window_of] or [better.name, worse.name]
    within = [number for number, arm in enumerate(arms) if arm.name in of_window]
    curves = [isotonic(arm.by_run().means(), arm.by_run().counts) for arm in arms]
    window = _window([curves[number] for number in within], full_range)
    low, high = float(window[0]), float(window[1])
    _refuse_empty(better, worse, low, high)
    sizes, notes = (better.sizes, worse.sizes), _missing([better, worse])
    drawn = interval = None
    falls: list[str] = []
    cautions: list[str] = []
    ratio = Ranged(float(2 ** _log2_distance(sizes, curves, window)))
    fewest = {arm.name: min(arm.by_run().counts) for arm in arms}
    if few := [f"{name} has {n} at a size" for name, n in fewest.items() if n < MIN_RUNS]:
        notes.append(f"no interval: it takes at least {MIN_RUNS} runs at every size, and {' and '.join(few)}")
    else:
        as_measured = resampled(arms, seed)
        drawn = [isotonic(means, arm.by_run().counts) for arm, means in zip(arms, as_measured, strict=True)]
        read_off = list(zip(arms, as_measured, strict=True))[:2]
        noticed = (fall_in_words(arm.name, arm.sizes, arm.by_run().means(), of, level) for arm, of in read_off)
        falls = [fall for fall in noticed if fall is not None]
        cautions += [f"{fall}; the fitted curve hides that, and so does every number read off it" for fall in falls]
        windows = _window([drawn[number] for number in within], full_range)
        usable = windows[1] - windows[0] > FLAT * max(1.0, abs(high))
        if (lost := int((~usable).sum())) > N_RESAMPLES * (1 - level) / 2:
            without = f"in {lost:,} of {N_RESAMPLES:,} resamples the curves share no score"
            notes.append(f"no interval: {without}, so the window itself is in doubt")
        else:
            kept, bounds = [curve[usable] for curve in drawn], (windows[0][usable], windows[1][usable])
            interval = order_interval(_distance(sizes, kept, bounds), level)
            ratio = Ranged(ratio.value, *(2**end for end in order_interval(_log2_distance(sizes, kept, bounds), level)))
    if full_range:
        notes.append(
            "over the full range, sizes beyond those tried count as the smallest or largest tried, "
            "so the distance is understated"
        )
    read = _curves_read([better, worse], curves[:2], drawn, level)
    distance = float(_distance(sizes, curves, window))
    if ratio.value is not None and distance * (ratio.value - 1) < 0:
        cautions.append(
            f"rows and ratio disagree ({distance:+,.0f} rows, a ratio of {ratio.value:.3g}): which arm needs fewer "
            "rows depends on the score; the mean of rows weighs large sizes most, the ratio weighs all alike"
        )
    crossover = find_crossover(*read, None if drawn is None else (drawn[0], drawn[1]), level, log=True, falls=falls)
    if not falls and crossover.n_star is None and crossover.censored is None and len(crossover.crossings) > 1:
        cautions.append("the curves cross more than once, so which arm needs fewer rows depends on the score")
    at_score = _at_score((low + high) / 2 if at is None else at, sizes, curves, drawn, level)
    if (
        (of_one := at_score.ratio.value) is not None
        and ratio.value is not None
        and (of_one - 1) * (ratio.value - 1) < 0
    ):
        other_way = "it is the other arm that needs fewer rows than on average over the window"
        cautions.append(f"at a score of {at_score.score:.4g} {other_way}")
    return Advantage(
        protocol="ours",
        better=better.name,
        worse=worse.name,
        advantage=distance,
        spread=None,
        interval=interval,
        level=level,
        ratio=ratio,
        window=(low, high),
        full_range=full_range,
        crossover=crossover,
        at=at_score,
        curves=read,
        notes=(*cautions, *notes),
        cautions=tuple(cautions),
    )


def _window(curves: Sequence[Floats], full_range: bool) -> tuple[Floats, Floats]:
    """(...,) lowest and (...,) highest score that all curves (..., sizes) reach; with `full_range`, that any does."""
    first, last = [curve[..., 0] for curve in curves], [curve[..., -1] for curve in curves]
    if full_range:
        return np.minimum.reduce(first), np.maximum.reduce(last)
    return np.maximum.reduce(first), np.minimum.reduce(last)


def _distance(sizes: Sizes, curves: Sequence[Floats], window: tuple[Floats, Floats]) -> Floats:
    """(...,): the mean over the window of the second arm's size less the first's."""
    return mean_size(sizes[1], curves[1], *window) - mean_size(sizes[0], curves[0], *window)


def _log2_distance(sizes: Sizes, curves: Sequence[Floats], window: tuple[Floats, Floats]) -> Floats:
    return mean_log2_size(sizes[1], curves[1], *window) - mean_log2_size(sizes[0], curves[0], *window)


def _at_score(
    score: float, sizes: Sizes, curves: Sequence[Floats], drawn: Sequence[Floats] | None, level: float
) -> AtScore:
    """Sizes at one score.

    A size beyond those tried is known as a range, [0, smallest] or [largest, inf), and enters the intervals as one.
    """
    at_score = [size_at(of, curve, score) for of, curve in zip(sizes, curves, strict=False)]
    needs = [Ranged(finite(float(n))) for n in at_score]
    apart, ratio = Ranged(None), Ranged(None)
    if all(need.value is not None for need in needs):
        apart, ratio = Ranged(float(at_score[1] - at_score[0])), Ranged(float(at_score[1] / at_score[0]))
    if drawn is None:
        return AtScore(score, needs[0], needs[1], apart, ratio)
    of_draws = [size_at(of, curve, score) for of, curve in zip(sizes, drawn, strict=False)]
    reached = [np.where(n == np.inf, of[-1], n) for of, n in zip(sizes, of_draws, strict=True)]
    least = [np.where(n == -np.inf, 0.0, n) for n in reached]
    most = [np.where(n == -np.inf, of[0], n) for of, n in zip(sizes, of_draws, strict=True)]
    with np.errstate(divide="ignore"):
        ratios = least[1] / most[0], most[1] / least[0]
    better_n, worse_n = (
        Ranged(need.value, *size_interval(n, level, of[0], of[-1]))
        for need, n, of in zip(needs, of_draws, sizes, strict=True)
    )
    apart = Ranged(apart.value, *_ends(least[1] - most[0], most[1] - least[0], level))
    return AtScore(score, better_n, worse_n, apart, Ranged(ratio.value, *_ends(*ratios, level)))


def _ends(least: Floats, most: Floats, level: float) -> tuple[float | None, float | None]:
    return finite(order_interval(least, level)[0]), finite(order_interval(most, level)[1])


def _lescao2021(
    better: RunScores, worse: RunScores, window_of: Sequence[RunScores], full_range: bool, level: float
) -> Advantage:
    paper = reproduce(better, worse, window_of=window_of, full_range=full_range)
    _refuse_empty(better, worse, *paper.window)
    assert paper.advantage is not None
    notes = _missing([better, worse])
    if paper.spread is None:
        notes.append(
            "no spread: with one run of each arm held out, an arm has none left or the window is a single score"
        )
    if paper.n_empty:
        ways = f"in {paper.n_empty} of {len(paper.hold_outs)} hold-outs the curves share no score"
        notes.append(f"{ways}; this protocol counts each as {paper.for_empty:,.0f} rows, and its spread is mostly that")
    whole = [accumulated(arm) for arm in (better, worse)]
    read = _curves_read([better, worse], [curve.scores for curve in whole if curve is not None])
    return Advantage(
        protocol="lescao2021",
        better=better.name,
        worse=worse.name,
        advantage=paper.advantage,
        spread=paper.spread,
        interval=None,
        level=level,
        ratio=None,
        window=paper.window,
        full_range=full_range,
        crossover=find_crossover(*read, None, level, log=False),
        at=None,
        curves=read,
        n_hold_outs=len(paper.hold_outs),
        n_empty_hold_outs=paper.n_empty,
        notes=tuple(notes),
    )


def _curves_read(
    arms: Sequence[ArmScores], curves: Sequence[Floats], drawn: Sequence[Floats] | None = None, level: float = 0.95
) -> tuple[CurveRead, CurveRead]:
    bands: list[tuple[tuple[float, float], ...] | None] = [None, None]
    if drawn is not None:
        ends = [np.quantile(of, [(1 - level) / 2, 1 - (1 - level) / 2], axis=0) for of in drawn[:2]]
        bands = [tuple(zip(low.tolist(), high.tolist(), strict=True)) for low, high in ends]
    better, worse = (
        CurveRead(arm.name, arm.sizes, tuple(curve.tolist()), tuple(arm.by_run().counts), band)
        for arm, curve, band in zip(arms, curves, bands, strict=True)
    )
    return better, worse


def _refuse_empty(better: ArmScores, worse: ArmScores, low: float, high: float) -> None:
    names, rounding = f"{better.name} and {worse.name}", FLAT * max(1.0, abs(high))
    if abs(high - low) <= rounding:
        single = f"{names} share the single score {low:.6g}, which is no window"
        raise UserError(f"{single}; compare them at sizes where both still learn")
    if low > high:
        apart = f"one curve begins at {low:.6g}, the other ends at {high:.6g}"
        remedy = "measure more sizes, or take --full-range for a bound"
        raise UserError(f"{names} share no score, so there is no window: {apart}; {remedy}")


def _missing(arms: Sequence[ArmScores]) -> list[str]:
    """Which runs are not there, arm by arm."""
    notes = []
    for arm in arms:
        runs = arm.by_run()
        short = [
            f"{len(runs.runs[n])} of {len(runs.seeds)} at n = {n:,}"
            for n in runs.sizes
            if len(runs.runs[n]) < len(runs.seeds)
        ]
        if short:
            notes.append(f"{arm.name} lacks runs: {', '.join(short)}")
    return notes

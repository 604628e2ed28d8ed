"""Learning curves over sizes and seeds, and the size at which a student meets the prompt.

A curve is the mean over seeds, made monotone in size (isotonic regression), read between sizes on a line in log2 n. Its
uncertainty has two sources, which rows and which seeds, so its bootstrap draws both (Owen & Eckles 2012, 1106.2125).
Rows (or groups of rows) are drawn with replacement, the same draw for every arm, because all arms answered the same
rows. Seeds are drawn by random weights, the same at every size, because a seed's subsets are nested; and the same for
arms whose seeds have the same names.

Seeds are few, and drawing 3 to 5 of them with replacement gives intervals that are far too short: nominal 0.95 covered
0.77 to 0.86 (simulated, curves with independent and with shared noise of seeds, 400 draws each). So a seed's deviation
from the mean is weighted with a normal variate instead, and all of a curve's deviations with one of Student's t: for a
plain mean that is the t interval exactly. The spread that rows alone bring into a seed's mean is taken out of its
deviation first, because the draw of rows brings that in already.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillhouse.advice.falls import fall_in_words, sign_changes
from stillhouse.advice.monotone import Floats, isotonic, size_at
from stillhouse.advice.reach import climb
from stillhouse.records import Example
from stillhouse.results.arms import PROMPT
from stillhouse.results.learning_curves import Ahead, Censored, CurvePoint, PromptCrossing

N_RESAMPLES = 2000
APART = 1.25  # a size is at least so many times the one before
# Of three rows, one draw in nine is a single row three times: no 95 % interval comes out of so few. Five rows give 126
# different draws.
FEWEST_GROUPS = 5


def sizes_for(n_rows: int, n_classes: int | None) -> list[int]:
    """Training sizes: doubling from max(16, 4 x classes), then half an octave below all rows, and all rows.

    The half octave is the step in which more rows are bought: where that many were bought, it is what there was before.
    """
    smallest = max(16, 4 * (n_classes or 0))
    half = round(n_rows / math.sqrt(2))
    top = [half, n_rows] if half >= APART * smallest else [n_rows]
    sizes, size = [], smallest
    while size * APART <= top[0]:  # two sizes closer than that would say nothing new
        sizes.append(size)
        size *= 2
    return [*sizes, *top]


def nested_subsets(
    examples: Sequence[Example], sizes: Sequence[int], targets: Sequence[str | None], seed: int
) -> list[list[Example]]:
    """One subset per size, each a part of the next, drawn by the seed alone.

    `targets` are the rows' labels where these are classes: then every subset begins with one row of each class, as far
    as half of the smallest size goes. Where they are None, rows come in plain random order.
    """
    generator = np.random.default_rng(seed)
    order = [int(index) for index in generator.permutation(len(examples))]
    first_of: dict[str, int] = {}
    for index in order:
        target = targets[index]
        if target is not None:
            first_of.setdefault(target, index)
    leaders = dict.fromkeys(list(first_of.values())[: min(sizes) // 2])
    order = [*leaders, *(index for index in order if index not in leaders)]
    return [[examples[index] for index in order[:size]] for size in sizes]


@dataclass(frozen=True)
class RowScores:
    """The row scores of one kind of student: `scores` (sizes, seeds, rows), 0..1.

    `groups` (rows,) numbers the groups of rows that are drawn together.
    """

    sizes: tuple[int, ...]
    scores: Floats
    groups: NDArray[np.int64]
    name: str = "student"

    def __post_init__(self) -> None:
        if self.scores.shape[0] != len(self.sizes) or self.scores.shape[2] != len(self.groups):
            shape = f"{len(self.sizes)} sizes and {len(self.groups)} rows"
            raise ValueError(f"scores of shape {self.scores.shape} do not fit {shape}")
        if wrong := np.count_nonzero(~np.isfinite(self.scores)):
            raise ValueError(f"{self.name}: {wrong} of {self.scores.size} scores are no numbers")

    def by_run(self) -> "RunScores":
        """One score per run: the mean over its rows. Seeds are named by their place."""
        means = zip(self.sizes, self.scores.mean(axis=2), strict=True)
        runs = {n: {str(seed): float(score) for seed, score in enumerate(scores)} for n, scores in means}
        return RunScores(self.name, runs)


@dataclass(frozen=True)
class RunScores:
    """Runs of one arm of which only the score is known: training size -> name of the seed -> score.

    A run that is missing is not there, but every size has at least one. A higher score is better; its unit is the
    caller's.
    """

    name: str
    runs: Mapping[int, Mapping[str, float]]

    def __post_init__(self) -> None:
        if not self.runs or not all(self.runs.values()):
            raise ValueError(f"{self.name}: an arm takes a size, and every size a run")

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(sorted(self.runs))

    @property
    def seeds(self) -> tuple[str, ...]:
        return tuple(sorted({seed for scores in self.runs.values() for seed in scores}))

    @property
    def n_runs(self) -> int:
        return sum(map(len, self.runs.values()))

    @property
    def counts(self) -> list[int]:
        """Runs at each size."""
        return [len(self.runs[n]) for n in self.sizes]

    def means(self) -> Floats:
        """(sizes,): the mean of the runs that there are."""
        return np.array([math.fsum(self.runs[n].values()) / len(self.runs[n]) for n in self.sizes])

    def by_run(self) -> "RunScores":
        return self


ArmScores = RowScores | RunScores


def curve_points(measured: RowScores, *, level: float = 0.95, seed: int = 0) -> list[CurvePoint]:
    """The curve as measured (not yet isotonic).

    It has a band where there are at least two seeds and `FEWEST_GROUPS` groups of rows. Where no draw differs from
    another (every row right with every seed, say) there is none: nothing was seen that a width could be estimated from.
    """
    runs = measured.by_run()
    bands: list[tuple[float | None, float | None]] = [(None, None) for _ in measured.sizes]
    if _has_interval(measured):
        [drawn] = resampled([measured], seed)
        ends = np.quantile(drawn, [(1 - level) / 2, 1 - (1 - level) / 2], axis=0).T.tolist()
        bands = [(low, high) if low < high else (None, None) for low, high in ends]
    return [
        CurvePoint(n, float(mean), low, high, tuple(runs.runs[n].values()))
        for n, mean, (low, high) in zip(measured.sizes, runs.means(), bands, strict=True)
    ]


def crossing(
    measured: RowScores, prompt: Floats, *, level: float = 0.95, seed: int = 0, prompt_name: str = PROMPT
) -> PromptCrossing:
    """The size at which the students meet the prompt, `prompt` (rows,) being its scores on the same rows.

    There is no interval with one seed or too few rows, nor where students and prompt score alike on every row with
    every seed: then no draw can tell them apart. And no size where the curve falls, or crosses the prompt a second
    time, beyond the noise of its runs: then a note says so.
    """
    _, n_seeds, n_rows = measured.scores.shape
    n_star = float(size_at(measured.sizes, isotonic(measured.scores.mean(axis=(1, 2))), prompt.mean()))
    low = high = note = None
    if _has_interval(measured) and (measured.scores != prompt).any():
        of_prompt = RowScores((0,), prompt[None, None, :], measured.groups, prompt_name)
        curves, line = resampled([measured, of_prompt], seed)
        sizes = size_at(measured.sizes, isotonic(curves), line[:, 0])
        low, high = size_interval(sizes, level, measured.sizes[0], measured.sizes[-1])
        means = measured.scores.mean(axis=(1, 2))
        note = fall_in_words(measured.name, measured.sizes, means, curves, level)
        if note is None and (n := sign_changes(curves - line, level)) > 1:
            note = f"{measured.name} crosses the {prompt_name} {n} times beyond the noise of its runs"
    censored: Censored | None = "<=" if n_star == -math.inf else ">" if n_star == math.inf else None
    if note is not None:
        n_star, low, high, censored = math.nan, None, None, None
    return PromptCrossing(
        curve=measured.name,
        prompt=prompt_name,
        n_star=finite(n_star),
        low=low,
        high=high,
        censored=censored,
        level=level,
        n_seeds=n_seeds,
        n_rows=n_rows,
        note=note,
    )


def _has_interval(measured: RowScores) -> bool:
    return measured.scores.shape[1] > 1 and np.unique(measured.groups).size >= FEWEST_GROUPS


def order_interval(values: Floats, level: float) -> tuple[float, float]:
    """The percentile interval by order statistics: an end may be infinite, and no mean is ever taken with that."""
    ordered = np.sort(values)
    cut = math.floor(len(ordered) * (1 - level) / 2)
    return float(ordered[cut]), float(ordered[-1 - cut])


def size_interval(sizes: Floats, level: float, smallest: float, largest: float) -> tuple[float | None, float | None]:
    """The interval of a size that may be censored.

    Its lower end is None where it reaches below the smallest size, its upper end where it reaches beyond the largest.
    """
    low, high = order_interval(sizes, level)
    return None if low == -math.inf else min(low, largest), None if high == math.inf else max(high, smallest)


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def ahead(points: Sequence[CurvePoint]) -> Ahead | None:
    """Where the curve may be at one doubling of the largest size; None with fewer than two sizes.

    The band goes from no gain at all to the last doubling's gain again. It is a picture and no forecast: in real curves
    the next doubling came out above it nearly as often as inside (`bench/gains.py`).
    """
    end = climb("", points)
    return None if end is None else Ahead(2 * end.n, end.score, min(1.0, end.score + end.gain))


def resampled(arms: Sequence[ArmScores], seed: int) -> list[Floats]:
    """For every arm (resamples, sizes): its means as other rows and other seeds might have given them.

    Arms with rows share their draws of rows. An arm with one seed keeps it: nothing is known of how others would
    differ.
    """
    generator = np.random.default_rng(seed)
    fewest: dict[tuple[str, ...], int] = {}  # each tuple of seed names -> the fewest runs at a size
    for arm in arms:
        fewest[arm.by_run().seeds] = min(*arm.by_run().counts, fewest.get(arm.by_run().seeds, N_RESAMPLES))
    weights = {seeds: _student_weights(len(seeds), least, generator) for seeds, least in fewest.items()}
    rows: Floats | None = None
    drawn = []
    for arm in arms:
        if isinstance(arm, RowScores):
            groups = np.unique(arm.groups).size
            if rows is None:
                rows = generator.multinomial(groups, np.full(groups, 1 / groups), size=N_RESAMPLES).astype(np.float64)
            centre = _of_drawn_rows(arm, rows)
        else:
            centre = np.broadcast_to(arm.means(), (N_RESAMPLES, len(arm.sizes)))
        drawn.append(centre + weights[arm.by_run().seeds] @ _seed_deviations(arm).T)
    return drawn


def _student_weights(n_seeds: int, fewest: int, generator: np.random.Generator) -> Floats:
    """(resamples, seeds): normal variates, each resample's scaled so that together they are Student's t.

    It has one degree of freedom less than there are runs at the size with the fewest.
    """
    freedom = max(1, fewest - 1)
    normal = generator.standard_normal((N_RESAMPLES, n_seeds))
    return normal * np.sqrt(freedom / generator.chisquare(freedom, (N_RESAMPLES, 1)))


def _seed_deviations(arm: ArmScores) -> Floats:
    """(sizes, seeds): each run's distance from its size's mean; 0 where there is no run.

    Scaled so that normal weights give the standard error of the mean.
    """
    runs = arm.by_run()
    deviations = np.zeros((len(runs.sizes), len(runs.seeds)))
    place = {seed: number for number, seed in enumerate(runs.seeds)}
    for row, (n, mean) in enumerate(zip(runs.sizes, runs.means(), strict=True)):
        count = len(runs.runs[n])
        if count > 1:
            for seed, score in runs.runs[n].items():
                deviations[row, place[seed]] = (score - mean) / math.sqrt(count * (count - 1))
    if isinstance(arm, RowScores) and len(runs.seeds) > 1:
        deviations *= _share_of_seeds(arm, deviations)[:, None]
    return deviations


def _share_of_seeds(measured: RowScores, deviations: Floats) -> Floats:
    """(sizes,): the share of the spread between seeds that is about whole seeds, in standard deviations.

    The rest of the spread is that seeds answer single rows differently.
    """
    sums, counts = _by_group(measured)
    n_seeds, n_groups = sums.shape[1:]
    # What is left of a score after subtracting its row's mean and its seed's mean: a seed's luck with single rows.
    apart = sums - sums.mean(axis=1, keepdims=True)
    apart -= apart.sum(axis=2, keepdims=True) / counts.sum() * counts
    squares = (apart**2).sum(axis=(1, 2)) / (n_seeds * (n_seeds - 1))
    by_rows = squares * n_groups / max(1, n_groups - 1) / counts.sum() ** 2
    between = (deviations**2).sum(axis=1)
    return np.asarray(np.sqrt(np.clip(1 - by_rows / np.where(between > 0, between, 1.0), 0.0, 1.0)))


def _of_drawn_rows(measured: RowScores, drawn: Floats) -> Floats:
    """(resamples, sizes): the mean over all seeds, on the drawn rows.

    `drawn` (resamples, groups) counts how often each group was drawn.
    """
    sums, counts = _by_group(measured)
    return np.asarray((drawn @ sums.mean(axis=1).T) / (drawn @ counts)[:, None])


def _by_group(measured: RowScores) -> tuple[Floats, Floats]:
    """(sizes, seeds, groups) sums of scores, (groups,) numbers of rows: a draw of groups is then one matrix product."""
    _, at = np.unique(measured.groups, return_inverse=True)
    counts = np.bincount(at).astype(np.float64)
    flat = measured.scores.reshape(-1, len(at))
    sums: Floats = np.stack([np.bincount(at, weights=row, minlength=counts.size) for row in flat]).astype(np.float64)
    return sums.reshape(*measured.scores.shape[:2], counts.size), counts

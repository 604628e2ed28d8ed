"""From measured arms to the report's learning curves: bands, crossovers with the prompt, score against examples, and what prompted finetuning is worth."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stillhouse.advice.advantage import Advantage, data_advantage
from stillhouse.advice.curves import Measured, ahead, crossing, curve_points
from stillhouse.errors import UserError
from stillhouse.evaluation.harness import RowResult, summarise
from stillhouse.experiment.arms import PROMPT, MeasuredArm
from stillhouse.experiment.few_shot import FewShotArms
from stillhouse.experiment.material import Material
from stillhouse.results.result import Ahead, Crossover, Curve, CurvePoint, FewShot, LearningCurves, Line, Worth


def curves_of(
    material: Material,
    trained: Sequence[MeasuredArm],
    prompt: MeasuredArm | None,
    few_shot: FewShotArms,
    levels: Sequence[MeasuredArm],
) -> LearningCurves:
    """The section. `trained`: all students, each name at the same seeds for every size; `levels`: arms that need no training rows, beside the prompt."""
    measured = {name: _measured(name, arms) for name, arms in _by_name(trained).items()}
    source = {arm.name: arm.learns_from for arm in trained}
    curves, crossovers = [], []
    for name, of_sizes in measured.items():
        points = curve_points(of_sizes)
        next_ = ahead(points)
        shown = tuple(CurvePoint(point.n, point.mean, point.low, point.high, point.scores) for point in points)
        curves.append(
            Curve(name, shown, of_sizes.scores.shape[2], source[name], None if next_ is None else Ahead(*next_))
        )
        if prompt is not None:
            found = crossing(of_sizes, np.array([row.score for row in prompt.test]))
            crossovers.append(
                Crossover(
                    name,
                    PROMPT,
                    found.n_star,
                    found.low,
                    found.high,
                    found.censored,
                    found.level,
                    found.n_seeds,
                    found.n_rows,
                )
            )
    lines = [
        Line(arm.name, summarise(arm.test, material.metric).score) for arm in (*([prompt] if prompt else []), *levels)
    ]
    return LearningCurves(
        tuple(curves), tuple(lines), tuple(crossovers), _few_shot(few_shot), tuple(worth_of(measured))
    )


def as_csv(trained: Sequence[MeasuredArm]) -> str:
    """Every run's score in the form that `stillhouse curves` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arm", "n", "seed", "score"])
    writer.writerows(
        (arm.name, arm.n_train, arm.facts["seed"], sum(row.score for row in arm.test) / len(arm.test))
        for arm in trained
    )
    return text.getvalue()


def _by_name(arms: Sequence[MeasuredArm]) -> Mapping[str, list[MeasuredArm]]:
    found: dict[str, list[MeasuredArm]] = defaultdict(list)
    for arm in arms:
        found[arm.name].append(arm)
    return found


def _measured(name: str, arms: Sequence[MeasuredArm], size: Any = lambda arm: arm.n_train) -> Measured:
    """(sizes, seeds, rows) of one kind of arm. Every size has every seed: a sweep leaves none out."""
    by_run = {(size(arm), arm.facts["seed"]): arm for arm in arms}
    sizes, seeds = sorted({n for n, _ in by_run}), sorted({seed for _, seed in by_run})
    scores = np.array([[[row.score for row in by_run[n, seed].test] for seed in seeds] for n in sizes])
    return Measured(tuple(sizes), scores, _groups(arms[0].test), name)


def _groups(rows: Sequence[RowResult]) -> Any:
    numbers: dict[str, int] = defaultdict(lambda: len(numbers))
    return np.array([numbers[row.group or f"row {row.id}"] for row in rows])


def _few_shot(found: FewShotArms) -> FewShot | None:
    if not found.arms:
        return FewShot((), 0, found.notes) if found.notes else None
    of_sizes = _measured("prompt with examples", found.arms, lambda arm: arm.facts["k"])
    points = curve_points(of_sizes)
    return FewShot(
        tuple(CurvePoint(point.n, point.mean, point.low, point.high, point.scores) for point in points),
        of_sizes.scores.shape[2],
        found.notes,
    )


# Le Scao & Rush (2021), on the user's own task: the same base finetuned through its language-model head, and through a new classification head


def worth_of(measured: Mapping[str, Measured]) -> list[Worth]:
    """What each `prompted:BASE` is worth against `encoder:BASE` with the same labels, by the default protocol over rows and seeds."""
    found = []
    for name in measured:
        head = name.replace("prompted:", "encoder:", 1)
        if name.startswith("prompted:") and head in measured:
            found.append(Worth(name, head, _in_words(measured[name], measured[head])))
    return found


def _in_words(prompted: Measured, head: Measured) -> str:
    try:
        found = data_advantage(prompted, head)
    except UserError as refusal:
        return f"What the pattern is worth cannot be told: {refusal}"
    n = f"{len(prompted.by_run().seeds)} seeds, n = {prompted.scores.shape[2]:,} test rows"
    low, high = found.window
    over = f"on average over the scores from {100 * low:.1f} % to {100 * high:.1f} % that both reach ({n})"
    return f"{found.better} is worth {found.advantage:,.0f}{_range(found)} training rows against {found.worse}, {over}. {found.crossover.sentence}."


def _range(found: Advantage) -> str:
    return "" if found.interval is None else f" [{found.interval[0]:,.0f}, {found.interval[1]:,.0f}]"

"""From measured arms to the report's learning curves: bands, crossings with the prompt, and score against examples.

And what prompted finetuning is worth in training rows.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stillhouse.advice.advantage import data_advantage
from stillhouse.advice.curves import RowScores, ahead, crossing, curve_points
from stillhouse.errors import UserError
from stillhouse.evaluation.harness import summarise
from stillhouse.experiment.counted_rows import counted
from stillhouse.experiment.material import Material
from stillhouse.records import Estimate
from stillhouse.results.learning_curves import Curve, FewShot, LearningCurves, LevelLine, PatternWorth
from stillhouse.results.measured_arm import FewShotArms, MeasuredArm
from stillhouse.results.row_result import RowResult
from stillhouse.verdict.judged_arm import is_yardstick


def curves_of(
    material: Material,
    trained: Sequence[MeasuredArm],
    prompt: MeasuredArm | None,
    few_shot: FewShotArms,
    levels: Sequence[MeasuredArm],
) -> LearningCurves:
    """The section. `trained`: all students, each name at the same seeds for every size.

    `levels`: arms that need no training rows, beside the prompt.
    """
    trained, levels = ([counted(material, arm) for arm in arms] for arms in (trained, levels))
    prompt = None if prompt is None else counted(material, prompt)
    few_shot = replace(few_shot, arms=tuple(counted(material, arm) for arm in few_shot.arms))
    measured = {name: _row_scores(name, arms) for name, arms in _by_name(trained).items()}
    source = {arm.name: arm.learns_from for arm in trained}
    curves, crossovers = [], []
    for name, of_sizes in measured.items():
        points = curve_points(of_sizes)
        curves.append(Curve(name, tuple(points), of_sizes.scores.shape[2], source[name], ahead(points)))
        if prompt is not None:
            on_rows = np.array([row.score for row in prompt.test])
            crossovers.append(crossing(of_sizes, on_rows, prompt_name=prompt.name))
    level_arms = [*([prompt] if prompt else []), *levels]
    return LearningCurves(
        curves=tuple(curves),
        lines=tuple(LevelLine(arm.name, _level(material, arm)) for arm in level_arms),
        crossovers=tuple(crossovers),
        few_shot=_few_shot(few_shot),
        worth=tuple(worth_of(measured)),
    )


def _level(material: Material, arm: MeasuredArm) -> Estimate:
    """Its score; the yardstick's agreement with itself is no measurement, and has no interval."""
    score = summarise(arm.test, material.metric).score
    return Estimate(score.value, score.n) if is_yardstick(material, arm) else score


def as_csv(trained: Sequence[MeasuredArm]) -> str:
    """Every run's score in the form that `stillhouse curves` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arm", "n", "seed", "score"])
    for arm in trained:
        writer.writerow((arm.name, arm.n_train, arm.seed, sum(row.score for row in arm.test) / len(arm.test)))
    return text.getvalue()


def _by_name(arms: Sequence[MeasuredArm]) -> Mapping[str, list[MeasuredArm]]:
    named: dict[str, list[MeasuredArm]] = defaultdict(list)
    for arm in arms:
        named[arm.name].append(arm)
    return named


def _training_rows(arm: MeasuredArm) -> int:
    assert arm.n_train is not None
    return arm.n_train


def _examples_shown(arm: MeasuredArm) -> int:
    assert arm.examples is not None
    return arm.examples.k


def _row_scores(
    name: str, arms: Sequence[MeasuredArm], size: Callable[[MeasuredArm], int] = _training_rows
) -> RowScores:
    """(sizes, seeds, rows) of one kind of arm. Every size has every seed: a sweep leaves none out."""
    by_run = {(size(arm), arm.seed or 0): arm for arm in arms}
    sizes, seeds = sorted({n for n, _ in by_run}), sorted({seed for _, seed in by_run})
    scores = np.array([[[row.score for row in by_run[n, seed].test] for seed in seeds] for n in sizes])
    return RowScores(tuple(sizes), scores, _groups(arms[0].test), name)


def _groups(rows: Sequence[RowResult]) -> NDArray[np.int64]:
    numbers: dict[str, int] = defaultdict(lambda: len(numbers))
    return np.array([numbers[row.group or f"row {row.id}"] for row in rows])


def _few_shot(measured: FewShotArms) -> FewShot | None:
    if not measured.arms:
        return FewShot((), 0, measured.notes) if measured.notes else None
    of_sizes = _row_scores("prompt with examples", measured.arms, _examples_shown)
    return FewShot(tuple(curve_points(of_sizes)), of_sizes.scores.shape[2], measured.notes)


# Le Scao & Rush (2021), on the user's own task: the same base finetuned through its language-model head, and through a
# new classification head


def worth_of(measured: Mapping[str, RowScores]) -> list[PatternWorth]:
    """What each `prompted:BASE` is worth against `encoder:BASE` with the same labels.

    By the default protocol, over rows and seeds.
    """
    worths = []
    for name in measured:
        head = name.replace("prompted:", "encoder:", 1)
        if name.startswith("prompted:") and head in measured:
            worths.append(PatternWorth(name, head, _in_words(measured[name], measured[head])))
    return worths


def _in_words(prompted: RowScores, head: RowScores) -> str:
    try:
        advantage = data_advantage(prompted, head)
    except UserError as refusal:
        return f"What the pattern is worth cannot be told: {refusal}"
    n = f"{len(prompted.by_run().seeds)} seeds, n = {prompted.scores.shape[2]:,} test rows"
    low, high = advantage.window
    over = f"on average over the scores from {100 * low:.1f} % to {100 * high:.1f} % that both reach ({n})"
    said = [*advantage.cautions, f"{advantage.in_words}, {over}", advantage.crossover.sentence]
    return "".join(f"{sentence}. " for sentence in said).rstrip()

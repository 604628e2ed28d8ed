"""Which students a run trains, on which rows, with which seeds: the plans of `distill` and of `advise`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from stillhouse.advice.curves import nested_subsets, sizes_for
from stillhouse.experiment.arms import StudentPlan, arm_name, slug
from stillhouse.experiment.material import Material
from stillhouse.experiment.readiness import ladder_of
from stillhouse.experiment.training_sets import Lesson
from stillhouse.results.arms import ArmKind
from stillhouse.task import Task


def student_plan(
    material: Material, folder: Path, spec: str, kind: ArmKind, seed: int, lesson: Lesson | None = None
) -> StudentPlan:
    """One student on all rows of a lesson; None: the task's own."""
    splits, lesson = material.splits, lesson or material.own_lesson
    return StudentPlan(
        spec=spec,
        kind=kind,
        task=material.task,
        train=lesson.train,
        validation=lesson.validation,
        test=splits.test,
        calibration=material.calibration,
        learn_from=lesson.source,
        scored_against=material.scored_against,
        seed=seed,
        out=folder / "arms" / slug(arm_name(spec, lesson.source, lesson.rows)),
        others=splits.also_test,
        rows=lesson.rows,
    )


def baseline_plans(material: Material, folder: Path, seed: int) -> list[StudentPlan]:
    """The majority class and TF-IDF with logistic regression, where the task is a choice.

    A student has to be better than these. One that is on the ladder is no baseline.
    """
    if material.task.output != "choice":
        return []
    specs = ["linear"] if material.labels is None else ["majority", "linear"]
    return [
        student_plan(material, folder, spec, "baseline", seed) for spec in specs if spec not in material.task.ladder
    ]


def curve_plans(material: Material, folder: Path, sizes: Sequence[int] | None, seeds: int) -> Iterator[StudentPlan]:
    """One plan per student, lesson, seed and size. `sizes` None: the usual ones.

    The subsets of a seed are nested. Seed 0 at the largest size is measured in full and kept: fixed before looking.
    """
    for spec, kind in on_curves(material.task):
        for lesson in material.lessons if kind == "student" else [material.own_lesson]:
            of_lesson = sizes_of(sizes, len(lesson.train), material.labels)
            targets = [row.target(lesson.source) if material.labels else None for row in lesson.train]
            whole = student_plan(material, folder, spec, kind, 0, lesson)
            for seed in range(seeds):
                subsets = nested_subsets(lesson.train, of_lesson, targets, seed)
                for n, subset in zip(of_lesson, subsets, strict=True):
                    out = folder / "arms" / f"{slug(whole.name)}-{n}-{seed}"
                    plan = replace(whole, train=subset, seed=seed, out=out)
                    in_full = seed == 0 and n == of_lesson[-1]
                    yield plan if in_full else replace(plan, keep=False, calibration=(), others={})


def sizes_of(sizes: Sequence[int] | None, n_rows: int, labels: Sequence[str] | None) -> list[int]:
    """The sizes of one lesson: those asked for that it has rows for, else the usual ones."""
    if sizes is None:
        return sizes_for(n_rows, len(labels) if labels else None)
    return sorted({size for size in sizes if size <= n_rows}) or [n_rows]


def on_curves(task: Task) -> list[tuple[str, ArmKind]]:
    """The ladder's students, and before them the linear baseline where it is none of them and the task is a choice."""
    ladder: list[tuple[str, ArmKind]] = [(spec, "student") for spec in ladder_of(task)]
    if task.output == "choice" and "linear" not in task.ladder:
        return [("linear", "baseline"), *ladder]
    return ladder

"""Whose labels on which rows a student can learn.

Gold labels, the teacher's on the same rows, or the teacher's on unlabelled rows as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stillhouse.data.dataset import Answer, with_teacher
from stillhouse.data.splits import Splits
from stillhouse.records import Example, Source
from stillhouse.task import Task

LEAST_ROWS = 16  # with fewer rows, a lesson is not measured beside the task's own
MORE_ROWS = "unlabelled rows too"
Labels = Mapping[str, Answer]  # row id -> the teacher's answer


@dataclass(frozen=True)
class Lesson:
    """What a student learns from. `rows` tells it from another lesson with the same labels; "" where there is none."""

    source: Source
    train: list[Example]
    validation: list[Example]
    rows: str = ""


def lessons_of(task: Task, own: Lesson, splits: Splits, labels: Labels) -> tuple[tuple[Lesson, ...], list[str]]:
    """(the task's own lesson with the others that its rows allow, a sentence for each that they do not allow).

    Gold comes first, then fewer rows. `splits` are as they were read, with all rows.
    """
    train, unlabelled, validation = (
        with_teacher(rows, labels) for rows in (splits.train, splits.unlabelled, splits.validation)
    )
    labelled = [row for row in train if row.label is not None]
    rest = [row for row in train if row.label is None] + unlabelled
    by_teacher = _labelled_by("teacher", validation)
    gold = own if own.source == "gold" else Lesson("gold", labelled, _labelled_by("gold", validation))
    same = Lesson("teacher", _labelled_by("teacher", labelled), by_teacher)
    more = Lesson("teacher", same.train + _labelled_by("teacher", rest), by_teacher, MORE_ROWS)
    if own.source == "teacher":
        more = replace(own, rows=MORE_ROWS) if _lacking(task, same) is None else own
    wanted = [gold] if labelled else []
    wanted += [same] if labelled else []
    wanted += [more] if rest else []
    kept, notes = [], []
    if 0 < len(same.train) < len(labelled):
        missing = len(labelled) - len(same.train)
        unusable = f"{missing:,} of {len(labelled):,} training rows have no usable teacher label"
        notes.append(f"{unusable}: students on teacher labels lack them")
    for lesson in wanted:
        # The task's own lesson is always kept: if it lacks something, the error comes where it is trained.
        lacking = None if lesson.train is own.train else _lacking(task, lesson)
        if lacking is None:
            kept.append(lesson)
        else:
            of_rows = f", {lesson.rows}" if lesson.rows else ""
            notes.append(f"no student on {lesson.source} labels{of_rows}: {lacking}")
    return tuple(kept), notes


def _lacking(task: Task, lesson: Lesson) -> str | None:
    if len(lesson.train) < LEAST_ROWS:
        return f"{len(lesson.train)} training rows have one, and it takes {LEAST_ROWS}"
    if not lesson.validation:
        return "no validation row has one"
    if task.output == "choice" and len(targets := {row.target(lesson.source) for row in lesson.train}) < 2:
        return f"all {len(lesson.train)} training rows have the label {next(iter(targets))!r}"
    return None


def _labelled_by(source: Source, rows: Sequence[Example]) -> list[Example]:
    return [row for row in rows if row.target(source) is not None]

"""What is wrong with a task is said before its first paid call: its ladder, metric, labels, rows, keys, room to write.

Everything here is looked up, and nothing is asked, trained or loaded that takes longer than reading the task's files.
"""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stillhouse.data.lone_groups import groups_in_the_way
from stillhouse.data.splits import Splits, cut_as_asked, shares_to_cut
from stillhouse.errors import UserError
from stillhouse.evaluation.metrics import metric_for
from stillhouse.llm.context import tokenizer_file
from stillhouse.llm.models import KEYED, endpoint
from stillhouse.llm.worked import worked_examples
from stillhouse.records import Source
from stillhouse.runs import portable_name, refuse_device, storage_errors
from stillhouse.student.job import check_rows
from stillhouse.student.readiness import check_base, check_can_learn, check_folder, check_installed
from stillhouse.task import Task

LEAST_SIZE = 2


def ladder_of(task: Task) -> tuple[str, ...]:
    """The students of the ladder, cheapest first.

    Raises UserError for a misspelt one, and for one that cannot learn what the task asks for.
    """
    for spec in task.ladder:
        check_can_learn(spec, task)
    if not task.ladder:
        raise UserError(f"{task.path or task.name}: the ladder is empty; name a student in [student] ladder")
    names = Counter(map(portable_name, dict.fromkeys(task.ladder)))
    if alike := next((name for name, n in names.items() if n > 1), None):
        raise UserError(
            f"{task.path or task.name}: two students of the ladder would be called {alike}, for a run's files name a "
            "base without the folders around it; rename one of the two folders"
        )
    return task.ladder


def check_sizes(sizes: Sequence[int] | None, most: int) -> None:
    """Raise UserError for sizes that so many training rows do not allow."""
    if sizes is not None and (not sizes or min(sizes) < LEAST_SIZE or max(sizes) > most):
        raise UserError(
            f"--sizes {','.join(map(str, sizes))}: give sizes from {LEAST_SIZE} to {most}, the number of training rows"
        )


def check_task(task: Task) -> None:
    """What the task itself says: a metric that can be computed, and students that can learn its output.

    Raises UserError. For commands that make what students will learn from, perhaps elsewhere.
    """
    if task.metric != "win_rate":
        metric_for(task)
    elif task.gate.judge is not None and task.gate.judge.startswith(KEYED):
        endpoint(task.gate.judge)
    worked_examples(task)
    if task.teacher.tokenizer is not None:
        tokenizer_file(task.resolve(task.teacher.tokenizer))
    for spec in ladder_of(task):
        check_folder(spec)
    if task.student.soft_targets and any(spec.startswith("generative:") for spec in task.ladder):
        raise UserError(
            f"{task.path or task.name}: [student] soft_targets = true is for students that pick among labels, and a "
            "generative one writes text; take it out, or use linear or encoder:BASE"
        )


def check_training(task: Task, runs: Path) -> None:
    """`check_task`, and what training on this machine needs. Raises UserError, MissingExtraError, StorageError."""
    check_task(task)
    for spec in task.ladder:
        check_installed(spec)
        check_base(spec)
    check_writable(runs)


def check_lesson(task: Task, splits: Splits, learn_from: Source, *, sizes: Sequence[int] | None = None) -> None:
    """The rows that students learn from, as far as they are known before the teacher is asked. Raises UserError."""
    if not splits.validation:
        raise UserError(f"no validation rows for {task.name}; {_why_none(task, splits)}")
    check_sizes(sizes, len(splits.train) + len(splits.unlabelled))
    if learn_from == "gold":
        train, validation = (
            [row for row in part if row.label is not None] for part in (splits.train, splits.validation)
        )
        check_rows(task, train, validation, "gold", one_class=set(task.ladder) == {"majority"})
    rows = (*splits.train, *splits.validation, *splits.test, *splits.unlabelled)
    if task.output == "choice" and task.labels is None:
        without = [row for row in rows if not row.choices]
        if without and (learn_from != "gold" or any(row.choices for row in rows)):
            raise no_choices_to_answer_with(task, without[0].id)
    if not any(row.teacher_rationale or row.extra.get("rationale") for row in splits.train):
        no_reasons_to_learn(task)


def no_choices_to_answer_with(task: Task, id_: str) -> UserError:
    return UserError(
        f"{task.path or task.name}: row {id_} has no `choices`, and the task names no `labels` that "
        "a teacher could answer with; name labels in [task], or give every row its choices"
    )


def no_reasons_to_learn(task: Task) -> None:
    """Raise UserError where rationales are to be learned that no row has, and nobody is asked for any."""
    recorded = (task.teacher.model or "").startswith("recorded:")  # may hold reasons, and costs nothing to look into
    if task.student.recipe == "step_by_step" and not (task.teacher.rationales or recorded):
        raise UserError(
            f'{task.path or task.name}: recipe = "step_by_step" needs rationales, and nobody is asked for any; '
            'set rationales = true in [teacher], or use recipe = "sft"'
        )


def _why_none(task: Task, splits: Splits) -> str:
    """Why no rows are left to validate on, and what helps."""
    named = [part for part in ("validation", "calibration", "test") if getattr(task.data, part) is not None]
    cut_off = list(shares_to_cut(task, named))
    rows = [*splits.train, *(row for part in cut_off for row in getattr(splits, part))]
    why = None
    if "validation" in cut_off:
        why = groups_in_the_way(rows, "validation", lambda alone: cut_as_asked(task, alone, named))
    return why or "give some, or change `split` in [data]"


def check_out(path: Path) -> None:
    """`check_writable` for the folder of a file; and raise UserError where a device or a pipe stands in its place."""
    refuse_device(path)
    check_writable(path.parent)


def check_writable(folder: Path) -> None:
    """Raise UserError, StorageError where no file can be written to the folder, or where it would have to be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{there}: is a file, and a folder is needed there; give another place")
    with storage_errors(there), tempfile.TemporaryFile(dir=there):
        pass

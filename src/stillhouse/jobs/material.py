"""What `advise` and `distill` work on: the task's rows with the teacher's answers beside the gold labels, and the rules for which is which."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stillhouse.data.dataset import label_set, with_teacher
from stillhouse.data.split import Splits, load_splits
from stillhouse.errors import UserError
from stillhouse.evaluation.metrics import Metric, metric_for
from stillhouse.jobs.label import default_store
from stillhouse.records import Example, Prediction, Progress, Source
from stillhouse.task import Task, load_task
from stillhouse.teacher.annotate import LabelReport, annotate
from stillhouse.teacher.terms import require_terms

IN_THE_DATA = "teacher_label in the data"  # the teacher's name where the rows bring its answers along


@dataclass(frozen=True)
class TeacherAnswers:
    """The teacher's answer to every row it was asked, by id."""

    name: str
    by_id: Mapping[str, Prediction]
    report: LabelReport | None  # None: the answers came with the rows

    def on(self, examples: Sequence[Example]) -> list[Prediction]:
        return [self.by_id[example.id] for example in examples]

    @property
    def stand_in(self) -> bool:
        return self.report is not None and self.report.stand_in


@dataclass(frozen=True)
class Material:
    """One task, ready to be measured. `learn_from`: whose labels the students learn; `scored_against`: whose labels the test rows are scored by."""

    task: Task
    splits: Splits
    metric: Metric
    labels: tuple[str, ...] | None  # classes; None: choices per row, or open output
    learn_from: Source
    scored_against: Source
    teacher: TeacherAnswers | None
    warnings: tuple[str, ...]

    @property
    def calibration(self) -> list[Example]:
        """Calibration rows that can be scored; the cascade's threshold is chosen on them."""
        return [row for row in self.splits.calibration if row.target(self.scored_against) is not None]


async def prepare(
    task: Path | Task,
    *,
    teacher: str | None = None,
    settings: Mapping[str, Any] | None = None,
    store: Path | None = None,
    skip_bad: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Material:
    """Load and split the rows and ask the teacher for what the comparison needs: the test and calibration rows, and the rows that students learn from.

    A named teacher is asked for all of these (what is in the store costs nothing again); without one, rows that carry `teacher_label` bring their own.
    """
    loaded = task if isinstance(task, Task) else load_task(task)
    loaded = loaded.with_teacher(**{name: value for name, value in (settings or {}).items() if value is not None})
    splits = load_splits(loaded, skip_bad=skip_bad)
    learn_from = _learn_from(loaded, splits)
    scored_against: Source = "gold" if all(row.label is not None for row in splits.test) else "teacher"
    wanted = [*splits.test, *splits.calibration, *(row for rows in splits.also_test.values() for row in rows)]
    if learn_from == "teacher" or loaded.student.recipe == "step_by_step":  # gold labels, the teacher's reasons
        wanted += [*splits.train, *splits.validation, *splits.unlabelled]
    name = teacher or loaded.teacher.model
    if name is not None and (learn_from == "teacher" or loaded.student.recipe == "step_by_step"):  # its answers train; to be compared with needs no leave
        require_terms(name, loaded.folder)
    answers = await _ask(name, loaded, wanted, store, on_progress)
    if answers is None and "teacher" in (learn_from, scored_against):
        raise UserError(f"{loaded.path or loaded.name}: rows lack gold labels and no teacher is named; set `model` in [teacher], or label the rows")
    splits, warnings = _with_answers(splits, answers, learn_from, scored_against)
    known = [*splits.train, *splits.validation, *splits.calibration, *splits.test]
    per_row = any(row.choices for row in known)
    labels = label_set(known, loaded) if loaded.output == "choice" and not per_row else None
    return Material(loaded, splits, metric_for(loaded), labels, learn_from, scored_against, answers, (*splits.warnings, *warnings))


def _learn_from(task: Task, splits: Splits) -> Source:
    wanted = task.student.learn_from
    if wanted == "auto":
        return "gold" if all(row.label is not None for row in (*splits.train, *splits.validation)) else "teacher"
    return wanted


async def _ask(
    name: str | None, task: Task, wanted: Sequence[Example], store: Path | None, on_progress: Callable[[Progress], None] | None
) -> TeacherAnswers | None:
    if name is not None:
        predictions, report = await annotate(name, task, wanted, store_path=store or default_store(task), on_progress=on_progress)
        return TeacherAnswers(name, {row.id: prediction for row, prediction in zip(wanted, predictions, strict=True)}, report)
    if any(row.teacher_label is not None for row in wanted):
        return TeacherAnswers(IN_THE_DATA, {row.id: _own_answer(row) for row in wanted}, None)
    return None


def _own_answer(row: Example) -> Prediction:
    error = "no teacher_label in the data" if row.teacher_label is None else None
    return Prediction(row.teacher_label, source="teacher", rationale=row.teacher_rationale, scores=row.teacher_scores, error=error)


def _with_answers(splits: Splits, answers: TeacherAnswers | None, learn_from: Source, scored_against: Source) -> tuple[Splits, list[str]]:
    """The splits with the teacher's labels beside the gold ones; rows that cannot be learned from or scored are left out, counted and said."""
    labels = {} if answers is None else {id_: (answer.output, answer.rationale, answer.scores) for id_, answer in answers.by_id.items()}
    pool = {"train": splits.train + (splits.unlabelled if learn_from == "teacher" else []), "validation": splits.validation}
    parts = {part: with_teacher(rows, labels) for part, rows in (pool | {"calibration": splits.calibration, "test": splits.test}).items()}
    warnings = []
    for part, source in (("train", learn_from), ("validation", learn_from), ("test", scored_against)):
        kept = [row for row in parts[part] if row.target(source) is not None]
        if dropped := len(parts[part]) - len(kept):
            reasons = _reasons(answers, parts[part]) if source == "teacher" else ""
            warnings.append(f"{dropped} of {len(parts[part])} {part} rows have no usable {source} label and were left out{reasons}")
        parts[part] = kept
    also = {name: [row for row in with_teacher(rows, labels) if row.target(scored_against) is not None] for name, rows in splits.also_test.items()}
    filled = replace(
        splits,
        train=parts["train"],
        validation=parts["validation"],
        calibration=parts["calibration"],
        test=parts["test"],
        unlabelled=[],
        also_test={name: rows for name, rows in also.items() if rows},
    )
    return filled, warnings


def _reasons(answers: TeacherAnswers | None, rows: Sequence[Example]) -> str:
    if answers is None:
        return ""
    counts = Counter(answers.by_id[row.id].error for row in rows if row.id in answers.by_id and answers.by_id[row.id].error)
    return f" ({', '.join(f'{reason}: {count}' for reason, count in counts.most_common(3))})" if counts else ""

"""Any model by its name, as a Predictor: `student:DIR`, `cascade:DIR`, and the teachers that `llm.models` knows."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from stillhouse.errors import ModelNameError, UserError
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.models import open_teacher
from stillhouse.llm.pilot import agree
from stillhouse.records import Example, Predictor
from stillhouse.results.run_result import load_result
from stillhouse.runs import TASK_FILE
from stillhouse.serving.cascade import CascadePredictor
from stillhouse.serving.proof import none_chosen
from stillhouse.serving.run_cascade import arm_student, cascade_of
from stillhouse.session import Session
from stillhouse.store import open_store
from stillhouse.student import Student, load_student
from stillhouse.task import Task, default_store, load_task

_AT_ONCE = 256  # rows that a student answers at once
AUDITS_S = 10.0  # how long a cascade that is closed waits for the audits under way


@asynccontextmanager
async def open_predictor(
    name: str,
    task: Task | None = None,
    *,
    store: Path | str | None = None,
    audit: Path | None = None,
    ledger: Ledger | None = None,
    over: Callable[[Task], Task] = lambda task: task,
    unproven: bool = False,
) -> AsyncIterator[Predictor]:
    """Open the model that `name` stands for, and close it on leaving.

    A teacher needs the task whose prompt it is asked with. `ledger` is a budget that this model shares with others; by
    default it has one of its own, with the task's cap. `audit` is a cascade's audit file. `over` puts settings over
    those of a cascade's own task. `unproven` opens a cascade also where its pins do not fit, or the verdict refused it.

    Raises ModelNameError, ArtifactError, KeyMissingError.
    """
    if name.startswith("student:"):
        yield load_student(student_folder(Path(name.removeprefix("student:"))))
    elif name.startswith("cascade:"):
        async with open_cascade(
            Path(name.removeprefix("cascade:")), store=store, audit=audit, ledger=ledger, over=over, unproven=unproven
        ) as cascade:
            yield cascade
    else:
        if task is None:
            raise ModelNameError(f"{name}: a prompted model needs the task whose prompt it gets; give --task")
        with open_store(store or default_store(task.folder)) as opened:
            teacher = open_teacher(name, task, opened, ledger=ledger)
            try:
                yield teacher
            finally:
                await teacher.close()


async def agree_to(predictor: Predictor, rows: Sequence[Example], session: Session) -> None:
    """Before a predictor is asked for all these rows: what its paid calls will cost, and the user's word.

    Of a cascade they are the rows that its student does not keep, which is found out first. Raises what the session's
    consent raises.
    """
    if session.asks is None:
        return
    asked, rows = await asked_of(predictor, rows)
    await agree(asked, rows, session.asks, session.on_progress)


async def asked_of(predictor: Predictor, rows: Sequence[Example]) -> tuple[Predictor, Sequence[Example]]:
    """Who will be asked, and which rows: of a cascade its teacher, with the rows that its student does not keep."""
    if not isinstance(predictor, CascadePredictor):
        return predictor, rows
    first = [
        prediction
        for start in range(0, len(rows), _AT_ONCE)
        for prediction in await predictor.student.predict(rows[start : start + _AT_ONCE])
    ]
    return predictor.teacher, [row for row, answer in zip(rows, first, strict=True) if not predictor.keeps(answer)]


def student_folder(folder: Path) -> Path:
    """Of a student's folder itself; of a run's folder the one of the student that the verdict chose.

    Raises UserError where the run chose none: a student that did not pass its gate is named by its own folder.
    """
    if not (folder / "result.json").is_file():
        return folder
    result = load_result(folder)
    chosen = next((arm for arm in result.arms if arm.name == result.chosen and arm.kind == "student"), None)
    if chosen is None:
        kept = [str(path.parent) for path in sorted(folder.glob("arms/*/student/student.json"))]
        raise UserError(
            f"{folder}: {none_chosen(result)}; name a student's own folder ({', '.join(kept) or 'none is kept here'})"
        )
    return arm_student(folder, chosen.name)


def folder_of_student(name: str) -> Path | None:
    """The folder of the student behind `student:DIR` or `cascade:DIR`; None: the name stands for another model."""
    kind, _, folder = name.partition(":")
    if kind == "student":
        return student_folder(Path(folder))
    return cascade_of(Path(folder)).student if kind == "cascade" else None


def task_of_model(name: str) -> Task | None:
    """The task of `student:DIR` or `cascade:DIR` from its run's own copy, with the schema and the database.

    None: the name stands for another model, or no run is around the folder.
    """
    kind, _, place = name.partition(":")
    if kind not in ("student", "cascade"):
        return None
    folder = Path(place).resolve()
    copies = (each / TASK_FILE for each in (folder, *folder.parents[:3]))
    found = next((copy for copy in copies if copy.is_file()), None)
    return None if found is None else load_task(found)


@asynccontextmanager
async def open_cascade(
    folder: Path,
    *,
    store: Path | str | None = None,
    audit: Path | None = None,
    ledger: Ledger | None = None,
    over: Callable[[Task], Task] = lambda task: task,
    unproven: bool = False,
) -> AsyncIterator[CascadePredictor]:
    """A run's cascade: the student before the teacher that it was measured against, at the run's own threshold.

    Raises UserError where a pin does not fit or the verdict refused it, unless `unproven`.
    """
    found = cascade_of(folder)
    if found.doubt is not None and not (unproven or found.doubt.opens):
        raise UserError(found.doubt.sentence)
    task = over(found.task)
    student: Student = load_student(found.student)
    with open_store(store or found.store) as opened:
        teacher = open_teacher(found.teacher, task, opened, ledger=ledger)
        try:
            name = f"{task.name}/cascade"
            cascade = CascadePredictor(student, teacher, found.threshold, name=name, audit=audit)
            try:
                yield cascade
            finally:
                await cascade.drain(AUDITS_S)
        finally:
            await teacher.close()

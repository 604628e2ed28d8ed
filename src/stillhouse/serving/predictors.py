"""Any model by its name, as a Predictor: `student:DIR`, `cascade:DIR`, and the teachers that `llm.models` knows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from stillhouse.errors import ArtifactError, ModelNameError, UserError
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.models import open_teacher
from stillhouse.records import Predictor
from stillhouse.results.result import load_result
from stillhouse.runs import read_json
from stillhouse.serving.cascade import Cascade
from stillhouse.store import open_store
from stillhouse.student import Student, load_student
from stillhouse.task import Task, default_store, load_task

CASCADE = "cascade.json"


@asynccontextmanager
async def open_predictor(
    name: str,
    task: Task | None = None,
    *,
    store: Path | str | None = None,
    audit: Path | None = None,
    ledger: Ledger | None = None,
) -> AsyncIterator[Predictor]:
    """Open the model that `name` stands for; a teacher needs the task whose prompt it is asked with. Closed on leaving.

    `ledger`: a budget that this model shares with others; default: one of its own, with the task's cap.

    Raises ModelNameError, ArtifactError, KeyMissingError.
    """
    if name.startswith("student:"):
        yield load_student(student_folder(Path(name.removeprefix("student:"))))
    elif name.startswith("cascade:"):
        async with open_cascade(
            Path(name.removeprefix("cascade:")), store=store, audit=audit, ledger=ledger
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


def student_folder(folder: Path) -> Path:
    """The student's own folder: the one given, or of a run the student that its verdict chose.

    Raises UserError where the run chose none: a student that did not pass its gate is served only by naming its own folder.
    """
    if not (folder / "result.json").is_file():
        return folder
    result = load_result(folder)
    chosen = next((arm for arm in result.arms if arm.name == result.chosen and arm.kind == "student"), None)
    if chosen is not None:
        for candidate in sorted(folder.glob("arms/*/arm.json")):
            if read_json(candidate)["name"] == chosen.name and (candidate.parent / "student").is_dir():
                return candidate.parent / "student"
        raise ArtifactError(
            f"{folder}: the student {chosen.name} is not there any more; run `stillhouse distill` again"
        )
    others = (
        ", ".join(str(path.parent) for path in sorted(folder.glob("arms/*/student/student.json")))
        or "none is kept here"
    )
    remedy = f"serve {folder} with --cascade" if (folder / CASCADE).is_file() else "keep the prompt"
    raise UserError(
        f"{folder}: no student of this run passed its gate (verdict: {result.verdict.kind}); {remedy}, or name a student's own folder ({others})"
    )


@asynccontextmanager
async def open_cascade(
    folder: Path, *, store: Path | str | None = None, audit: Path | None = None, ledger: Ledger | None = None
) -> AsyncIterator[Cascade]:
    """The student of a run before the teacher that it was measured against, at the threshold that the run chose."""
    path = folder / CASCADE
    if not path.is_file():
        raise UserError(
            f"{folder}: holds no {CASCADE}: the run found no threshold that keeps the promise, or is no distill run; see its report"
        )
    facts = read_json(path)
    if facts.get("format") != 1 or facts.get("task_file") is None:
        raise ArtifactError(f"{path}: not a cascade that this version can open; run `stillhouse distill` again")
    task = load_task(facts["task_file"])
    student: Student = load_student(folder / _inside(folder, facts["student"]))
    with open_store(store or default_store(task.folder)) as opened:
        teacher = open_teacher(facts["teacher"], task, opened, ledger=ledger)
        try:
            cascade = Cascade(student, teacher, float(facts["threshold"]), name=f"{task.name}/cascade", audit=audit)
            try:
                yield cascade
            finally:
                await cascade.drain()
        finally:
            await teacher.close()


def _inside(folder: Path, relative: str) -> str:
    if not (folder / relative).resolve().is_relative_to(folder.resolve()):
        raise ArtifactError(f"{folder / CASCADE}: names {relative!r}, which is outside the run; do not use it")
    return relative

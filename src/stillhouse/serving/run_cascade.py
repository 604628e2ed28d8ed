"""The cascade that a run's folder holds: its parts, and whether they are those that its promise was made with.

The prompt is the run's own copy (`task/`), never the original task file. A cascade that the verdict refused has no
`cascade.json`; where it has a threshold it is still known from `result.json`, and can be opened as unproven.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stillhouse.errors import ArtifactError, UserError
from stillhouse.llm.prompt_pins import script_files, task_pin, teacher_pin
from stillhouse.results.arm_file import read_arm_file
from stillhouse.results.cascade_file import CASCADE, PINNED, StoredCascade, kept_store, pins_of, read_cascade
from stillhouse.results.run_result import load_result
from stillhouse.runs import TASK_FILE, file_sha256
from stillhouse.student.engine import engine_of
from stillhouse.student.header import HEADER
from stillhouse.task import Task, default_store, load_task


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """Why a model is not proven, and what to do instead of serving it unproven.

    `why` names no place: clients are told it. `opens`: it may be opened where nothing is promised to anybody, as
    `evaluate` does.
    """

    place: Path
    why: str
    remedy: str
    opens: bool = False

    @property
    def sentence(self) -> str:
        return f"{self.place}: {self.why}; {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class RunCascade:
    """`doubt` None: every pin fits, and the verdict lets it be served."""

    student: Path
    threshold: float
    teacher: str
    task: Task
    store: Path  # where paid replies are kept unless another place is named
    doubt: Doubt | None


def cascade_of(folder: Path) -> RunCascade:
    """Read what the run says of its cascade, and hold it against its pins. Nothing is loaded.

    Raises UserError where the run has none, ArtifactError for a damaged one, ModelNameError where the teacher's code
    or file is not there.
    """
    if not (folder / CASCADE).is_file():
        return _refused_cascade(folder)
    stored = read_cascade(folder)
    task = load_task(folder / stored.task_file)
    student = folder / stored.student
    if not (student / HEADER).is_file():
        raise ArtifactError(f"{student}: not a student (no {HEADER}); copy the run's folder again, with all its files")
    if stored.pins is None:
        _refuse_code_of_the_working_folder(stored.teacher, task)
        doubt: Doubt | None = Doubt(
            place=folder / CASCADE,
            why="an earlier version wrote it and pinned nothing",
            remedy="run `stillhouse distill` again",
            opens=True,
        )
        store = default_store(task.folder)
    else:
        doubt = _difference(folder, stored, student, task)
        if doubt is not None:
            _refuse_code_of_the_working_folder(stored.teacher, task)
        store = kept_store(folder, stored) or default_store(folder)
    return RunCascade(
        student=student, threshold=stored.threshold, teacher=stored.teacher, task=task, store=store, doubt=doubt
    )


def _difference(folder: Path, stored: StoredCascade, student: Path, task: Task) -> Doubt | None:
    """The first part that is not the one that was pinned."""
    assert stored.pins is not None
    pinned: Mapping[str, str] = stored.pins.model_dump()
    here: Mapping[str, str] = pins_of(
        stored.promise,
        task=task_pin(task),
        teacher=teacher_pin(stored.teacher, task),
        student=file_sha256(student / HEADER),
        engine=engine_of(student),
    ).model_dump()
    other = next((name for name in PINNED if pinned[name] != here[name]), None)
    if other is None:
        return None
    hashes = f"sha256 {here[other][:12]}, pinned is {pinned[other][:12]}"
    return Doubt(
        place=folder / CASCADE,
        why=f"{PINNED[other]} is not what its promise was made with ({hashes})",
        remedy="put back what was changed, or run `stillhouse distill` again",
    )


def _refused_cascade(folder: Path) -> RunCascade:
    """The cascade that the verdict refused, from `result.json`."""
    none = f"{folder}: holds no {CASCADE}"
    if not (folder / "result.json").is_file():
        raise UserError(f"{none}, and no result: it is no run of distill; give a run's folder")
    result = load_result(folder)
    promise = result.cascade
    if promise is None or promise.threshold is None:
        why = "it measured no cascade" if promise is None else promise.refused or "no threshold keeps the promise"
        raise UserError(f"{none}: {why} (verdict: {result.verdict.called}); see its report")
    if not (folder / TASK_FILE).is_file():
        raise UserError(f"{none}, and no copy of its task; run `stillhouse distill` again")
    task = load_task(folder / TASK_FILE)
    if task.teacher.model is None:
        raise UserError(
            f"{none}: its teacher's answers came with the rows, so nobody is there to ask; "
            "name a `model` in [teacher] and run `stillhouse distill` again"
        )
    _refuse_code_of_the_working_folder(task.teacher.model, task)
    refused = promise.not_served or "it was written for none"
    return RunCascade(
        student=arm_student(folder, promise.student),
        threshold=promise.threshold,
        teacher=task.teacher.model,
        task=task,
        store=default_store(folder),
        doubt=Doubt(
            place=folder,
            why=f'its verdict ("{result.verdict.called}") lets no cascade be served: {refused}',
            remedy="keep the prompt",
        ),
    )


def arm_student(folder: Path, name: str) -> Path:
    """The folder of the student that an arm kept. Raises ArtifactError where it is not there any more."""
    for arm_file in sorted(folder.glob("arms/*/arm.json")):
        student = arm_file.parent / "student"
        if read_arm_file(arm_file).name == name and student.is_dir():
            return student
    raise ArtifactError(f"{folder}: the student {name} is not there any more; run `stillhouse distill` again")


def _refuse_code_of_the_working_folder(teacher: str, task: Task) -> None:
    """Code that no pin vouches for is taken from the task's own folder or from what is installed, not from here."""
    kind, _, script = teacher.partition(":")
    if kind != "scripted" or Path.cwd() == task.folder:
        return
    path = script_files(script)[-1].resolve()
    parts = script.partition(":")[0].split(".")
    root = path.parents[len(parts) - (path.name != "__init__.py")]
    if root == Path.cwd():
        raise UserError(
            f"the teacher {teacher}: its code would be {path}, from the folder that you stand in, and it is not what "
            "was pinned; stand elsewhere, and install the module that the run was measured with"
        )

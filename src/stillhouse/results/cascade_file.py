"""What `cascade.json` may say: the student and the teacher of a run, the threshold between them, and its pins.

The pins are hashes of what the promise was made with. The file is written only for a cascade that the verdict says may
be served. One of version 0.1.0 has no pins and names its task by an absolute path; it opens, and nothing proves it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stillhouse.errors import ArtifactError
from stillhouse.runs import read_json, value_sha256

CASCADE = "cascade.json"
Share = Annotated[float, Field(ge=0, le=1)]


PINNED = {  # what each pin stands for, as an error names it
    "task": "the task's text",
    "teacher": "the teacher or its parameters",
    "student": "the student",
    "engine": "the engine that reads the student",
    "threshold": "the threshold or its promise",
}
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Pins(BaseModel):
    """Of each part the sha256; `PINNED` says what the parts are."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task: Sha256
    teacher: Sha256
    student: Sha256
    engine: Sha256
    threshold: Sha256


def pins_of(
    promise: Sequence[float], *, task: str, teacher: str, student: str, engine: Mapping[str, str | int]
) -> Pins:
    """The pins. Of the task, the teacher and the student the hashes are given."""
    threshold = value_sha256([float(number) for number in promise])
    return Pins(task=task, teacher=teacher, student=student, engine=value_sha256(engine), threshold=threshold)


class StoredCascade(BaseModel):
    """`cascade.json` as it lies on disk."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    format: Literal[1]
    student: Annotated[str, Field(min_length=1)]  # the student's folder, within the run's
    threshold: Annotated[float, Field(ge=0)]  # the least confidence with which the student's answer is kept
    budget: Share
    level: Share
    n: Annotated[int, Field(ge=0)]
    teacher: Annotated[str, Field(min_length=1)]
    task_file: Annotated[str, Field(min_length=1)]  # the run's own copy, within its folder; 0.1.0: the original's path
    # The store beside the original task, from the run's folder: paid replies are looked up there.
    store: str | None = None
    pins: Pins | None = None

    @property
    def promise(self) -> list[float]:
        """What the pin of the threshold is made of."""
        return [self.threshold, self.budget, self.level, self.n]


def read_cascade(folder: Path) -> StoredCascade:
    """Raises ArtifactError where it is no cascade, and where the student's or the task's place is outside the run."""
    path = folder / CASCADE
    try:
        cascade = StoredCascade.model_validate(read_json(path))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"])) or "the file"
        raise ArtifactError(
            f"{path}: not a cascade that this version can open ({key}: {problem['msg']}); "
            "run `stillhouse distill` again"
        ) from None
    names = [cascade.student] if cascade.pins is None else [cascade.student, cascade.task_file]
    for name in names:
        if not _is_inside(name, folder):
            raise ArtifactError(f"{path}: names {name[:200]!r}, which is outside the run; do not use it")
    return cascade


def kept_store(folder: Path, cascade: StoredCascade) -> Path | None:
    """The store of the task beside the run, where it is there still: what was paid for there is not paid again."""
    if cascade.store is None or not _is_inside(cascade.store, folder.resolve().parent.parent, start=folder):
        return None
    store = folder / cascade.store
    return store if store.is_file() else None


def _is_inside(name: str, folder: Path, start: Path | None = None) -> bool:
    try:
        return ((start or folder) / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # a null character, or a name that is too long
        return False

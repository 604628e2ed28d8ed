"""What `cascade.json` may say: the student and the teacher of a run, and the threshold between them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stillhouse.errors import ArtifactError
from stillhouse.runs import read_json

CASCADE = "cascade.json"
Share = Annotated[float, Field(ge=0, le=1)]


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
    task_file: Annotated[str, Field(min_length=1)]


def read_cascade(folder: Path) -> StoredCascade:
    """Raises ArtifactError where it is no cascade, and where the student's folder lies outside the run's."""
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
    try:
        is_inside = (folder / cascade.student).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # a null character, or a name that is too long
        is_inside = False
    if not is_inside:
        raise ArtifactError(f"{path}: names {cascade.student[:200]!r}, which is outside the run; do not use it")
    return cascade

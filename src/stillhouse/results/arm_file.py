"""What `arm.json` may say: every key, its type and its bounds. A damaged file is refused in a sentence.

Keys that this version does not know are passed over: 0.1.0 wrote two that no reader ever asked for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stillhouse.errors import UserError
from stillhouse.records import Source
from stillhouse.results.arms import ArmKind
from stillhouse.runs import read_json

Count = Annotated[int, Field(ge=0, le=10**15)]
Amount = Annotated[float, Field(ge=0)]
TestSet = Annotated[str, Field(pattern=r"^[^/\\\x00]+$")]  # part of a file's name
_GROUPS = {  # the keys that come together: where the first is there, the others are
    "best_validation": ("seed", "wall_s", "metric", "n_validation", "n_parameters"),
    "k": ("seed", "n_shots", "shots"),
    "control": ("control_of",),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class ArmFacts(_Strict):
    """The model, the training, the examples and the control; see `measured_arm` for what each key means."""

    spec: str | None = None
    seed: int | None = None
    rows: str = ""
    best_validation: float | None = None
    metric: str | None = None
    n_validation: Count | None = None
    n_parameters: Count | None = None
    wall_s: Amount | None = None
    epochs: Amount = 0.0
    steps: Count = 0
    stopped_early: bool = False
    n_truncated: Count = 0
    resumed_at: Count | None = None
    gave_up: bool = False
    k: Count | None = None
    n_shots: Count | None = None
    shots: list[str] | None = None
    unanswered: Count = 0
    control: str | None = None
    control_of: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for first, others in _GROUPS.items():
            absent = [name for name in others if getattr(self, name) is None]
            if getattr(self, first) is not None and absent:
                raise ValueError(f"{first} is there without {absent[0]}")
        return self

    def of(self, *names: str) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in names}


class StoredArm(_Strict):
    """`arm.json` as it lies on disk."""

    name: Annotated[str, Field(min_length=1)]
    kind: ArmKind
    latencies_s: list[Amount] | None
    busy_s: list[Amount] | None = None
    learns_from: Source | None
    n_train: Count | None
    size_bytes: Count | None
    stand_in: bool
    facts: ArmFacts
    others: list[TestSet]
    student: str | None = None  # sha256 of the student's header, which lists its files; None: not kept, or by 0.1.0

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.kind in ("student", "baseline") and self.facts.best_validation is None:
            raise ValueError("the facts of its training are missing")
        if self.busy_s is not None and len(self.busy_s) != len(self.latencies_s or ()):
            raise ValueError("busy_s and latencies_s are not of the same calls")
        if self.kind == "few-shot" and self.facts.k is None:
            raise ValueError("the facts of its examples are missing")
        return self


def read_arm_file(path: Path) -> StoredArm:
    """Raises UserError with the file, the first key that is wrong, and the remedy."""
    try:
        return StoredArm.model_validate(read_json(path))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"])) or "the file"
        raise UserError(
            f"{path}: {key}: {problem['msg'].removeprefix('Value error, ')}; the file was changed or torn: "
            f"remove {path.parent}, and the same command measures it again"
        ) from None

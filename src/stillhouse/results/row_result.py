"""One test row under one arm: what was answered, and what the answer scored. Every number of a run comes from these."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from stillhouse.errors import DatasetError
from stillhouse.jsonl import numbered_lines
from stillhouse.runs import write_atomic

Amount = Annotated[float, Field(ge=0)]
Confidence = Annotated[float, Field(ge=0, le=1 + 1e-6)]  # a sum of 32-bit probabilities may be a little above 1


@with_config(ConfigDict(extra="ignore", allow_inf_nan=False))
@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """One example under one arm. `gold` is the label scored against: the gold one, or the teacher's.

    Raises DatasetError for a score that is no number from 0 to 1: no interval would hold for it.
    """

    id: str
    group: str | None
    gold: str
    output: str | None
    score: float
    confidence: Confidence | None = None
    latency_s: Amount | None = None
    cost_usd: Amount | None = None
    source: str | None = None
    error: str | None = None
    raw_confidence: Confidence | None = None  # the confidence before calibration
    usage_doubt: str | None = None  # why the tokens that the provider counted do not add up; None: they do

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:  # NaN is refused by this test, too
            raise DatasetError(
                f"row {self.id!r} has the score {self.score}, and a score is a number from 0 to 1; "
                "mend the metric, or leave the row out"
            )


def write_rows(path: Path, rows: Iterable[RowResult], **arm: Any) -> None:
    """One JSON object per row, each with what belongs to the arm (its name, seed, size)."""
    lines = (json.dumps({**arm, **asdict(row)}, ensure_ascii=False, allow_nan=False) for row in rows)
    write_atomic(path, "".join(f"{line}\n" for line in lines))


def read_rows(path: Path) -> list[RowResult]:
    """The rows that `write_rows` wrote; what belongs to the arm is left out.

    Raises DatasetError, naming the line, where one is no row: the file was changed or torn.
    """
    rows = []
    for line, text in numbered_lines(path, f"remove {path.parent}, and the same command measures it again"):
        try:
            rows.append(_adapter().validate_json(text, strict=True))
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(map(str, problem["loc"])) or "the row"
            raise DatasetError(
                f"{path}:{line}: {key}: {problem['msg']}; the file was changed or torn: "
                f"remove {path.parent}, and the same command measures it again"
            ) from None
    return rows


@cache
def _adapter() -> TypeAdapter[RowResult]:
    return TypeAdapter(RowResult)

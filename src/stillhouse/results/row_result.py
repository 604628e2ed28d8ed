"""One test row under one arm: what was answered, and what the answer scored. Every number of a run comes from these."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from stillhouse.errors import DatasetError
from stillhouse.jsonl import read_jsonl
from stillhouse.runs import write_atomic


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
    confidence: float | None = None
    latency_s: float | None = None
    cost_usd: float | None = None
    source: str | None = None
    error: str | None = None
    raw_confidence: float | None = None  # the confidence before calibration

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
    """The rows that `write_rows` wrote; what belongs to the arm is left out."""
    names = {field.name for field in fields(RowResult)}
    rows = (row for _, row in read_jsonl(path))
    return [RowResult(**{name: value for name, value in row.items() if name in names}) for row in rows]

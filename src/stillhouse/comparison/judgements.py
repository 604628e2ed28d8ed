"""What people chose, one line per choice, on disk before the next pair is shown.

A process that is killed loses no choice that it had confirmed. A line names the pair and the sides by hashes of the
texts, never by system. So the file is as blind as the page, and a choice holds wherever the same two answers to the
same input are compared again. A choice is taken back by a later line whose `choice` is null. A person who gives a name
has it in every line. Of each person the last choice of a pair counts, whatever others chose; so the files of several
machines can be joined by writing one after the other.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, get_args

from stillhouse.errors import DatasetError
from stillhouse.json_text import JsonError, read_json
from stillhouse.runs import Lock, storage_errors

Side = Literal["left", "right", "tie", "both bad"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One person's choice. `left`: the digest of the answer that stood on the left. `rater` is "" without a name."""

    pair: str
    left: str
    choice: Side
    rater: str = ""


class Judgements:
    """The file, open for one process alone."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path, self._now = path, now
        with storage_errors(path):
            self._lock = Lock(path.with_name(f".{path.name}.lock"), str(path))
        try:
            self._by_rater: dict[str, dict[str, Judgement]] = {}
            for line, row in _whole_lines(path):
                self._take(line, row)
            with storage_errors(path):
                # Unbuffered: a line that a full disk refused must not be written after it was tried again.
                self._file = path.open("ab", buffering=0)
        except BaseException:
            self._lock.release()
            raise

    def of(self, rater: str = "") -> dict[str, Judgement]:
        """One person's choices by pair, in the order in which they were made, the last one last."""
        return self._by_rater.get(rater, {})

    def on(self, pair: str) -> list[Judgement]:
        """Every person's choice of a pair, in the order of their names."""
        return [mine[pair] for _, mine in sorted(self._by_rater.items()) if pair in mine]

    def add(self, judgement: Judgement, id_: str) -> None:
        """Write one choice and wait for the disk. `id_`: of the row, for whoever reads the file."""
        line = {"pair": judgement.pair, "id": id_, "left": judgement.left, "choice": judgement.choice}
        self._append(line, judgement.rater)
        self._keep(judgement)

    def undo(self, pair: str, rater: str = "") -> None:
        """Take a person's choice of a pair back."""
        self._append({"pair": pair, "choice": None}, rater)
        del self._by_rater[rater][pair]

    def _keep(self, judgement: Judgement) -> None:
        mine = self._by_rater.setdefault(judgement.rater, {})
        mine.pop(judgement.pair, None)
        mine[judgement.pair] = judgement

    def _append(self, row: dict[str, Any], rater: str) -> None:
        row |= {"rater": rater} if rater else {}
        row["at"] = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        with storage_errors(self.path):
            self._file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
            os.fsync(self._file.fileno())

    def _take(self, line: int, row: Any) -> None:
        if not _is_judgement(row):
            raise DatasetError(
                f"{self.path}:{line}: is not a judgement that compare wrote; "
                "give another file with --judgements, or mend the line"
            )
        rater = row.get("rater", "")
        if row["choice"] is not None:
            self._keep(Judgement(row["pair"], row["left"], row["choice"], rater))
        else:
            self._by_rater.get(rater, {}).pop(row["pair"], None)

    def close(self) -> None:
        self._file.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _is_judgement(row: Any) -> bool:
    """Whether a line holds a choice, or takes one back."""
    if not (isinstance(row, dict) and isinstance(row.get("pair"), str) and isinstance(row.get("rater", ""), str)):
        return False
    if row.get("choice") is None:
        return "choice" in row
    return row["choice"] in get_args(Side) and isinstance(row.get("left"), str)


def _whole_lines(path: Path) -> list[tuple[int, Any]]:
    """The lines as values. A last line that a killed process left half written is cut off: it was never confirmed."""
    if not path.is_file():
        return []
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if whole != raw:
        with storage_errors(path), path.open("r+b") as file:
            file.truncate(len(whole))
    values = []
    for line, text in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            values.append((line, read_json(text)))
        except JsonError as error:
            raise DatasetError(
                f"{path}:{line}: not valid JSON ({error}); mend the line, or give another file with --judgements"
            ) from None
    return values

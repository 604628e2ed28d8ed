"""What people chose, one line per choice, on disk before the next pair is shown. A process that is killed loses nothing that it had confirmed.

A line names the pair and the sides by hashes of the texts, never by system, so the file is as blind as the page; and a choice holds wherever the same two
answers to the same input are compared again. An undone choice is a later line with `choice` null.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, get_args

from stillhouse.errors import DatasetError
from stillhouse.runs import Lock, storage_errors

Side = Literal["left", "right", "tie", "both bad"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One choice. `left`: the digest of the answer that stood on the left."""

    pair: str
    left: str
    choice: Side


class Judgements:
    """The file, open for one process alone. `by_pair` is in the order of the choices, the last one last."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path, self._now = path, now
        with storage_errors(path):
            self._lock = Lock(path.with_name(f".{path.name}.lock"), str(path))
        try:
            self.by_pair: dict[str, Judgement] = {}
            for line, row in _whole_lines(path):
                self._take(line, row)
            with storage_errors(path):
                self._file = path.open("ab", buffering=0)  # nothing is held back, so nothing is written twice after a disk that was full
        except BaseException:
            self._lock.release()
            raise

    def add(self, judgement: Judgement, id_: str) -> None:
        """Write one choice and wait for the disk."""
        self._append({"pair": judgement.pair, "id": id_, "left": judgement.left, "choice": judgement.choice})
        self.by_pair.pop(judgement.pair, None)
        self.by_pair[judgement.pair] = judgement

    def undo(self, pair: str) -> None:
        """Take the choice of a pair back."""
        self._append({"pair": pair, "choice": None})
        del self.by_pair[pair]

    def _append(self, row: dict[str, Any]) -> None:
        with storage_errors(self.path):
            line = json.dumps({**row, "at": self._now().strftime("%Y-%m-%dT%H:%M:%SZ")}, ensure_ascii=False) + "\n"
            self._file.write(line.encode())
            os.fsync(self._file.fileno())

    def _take(self, line: int, row: Any) -> None:
        known = isinstance(row, dict) and isinstance(row.get("pair"), str) and "choice" in row
        if not known or (row["choice"] is not None and (row["choice"] not in get_args(Side) or not isinstance(row.get("left"), str))):
            raise DatasetError(f"{self.path}:{line}: is not a judgement that compare wrote; give another file with --judgements, or mend the line")
        self.by_pair.pop(row["pair"], None)
        if row["choice"] is not None:
            self.by_pair[row["pair"]] = Judgement(row["pair"], row["left"], row["choice"])

    def close(self) -> None:
        self._file.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _whole_lines(path: Path) -> list[tuple[int, Any]]:
    """The lines as values. A last line that a killed process left half written is cut off: its choice was never confirmed."""
    if not path.is_file():
        return []
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if whole != raw:
        with storage_errors(path), path.open("r+b") as file:
            file.truncate(len(whole))
    found = []
    for line, text in enumerate(whole.splitlines(), start=1):
        try:
            found.append((line, json.loads(text)))
        except ValueError as error:
            raise DatasetError(f"{path}:{line}: not valid JSON ({error}); mend the line, or give another file with --judgements") from None
    return found

"""The file behind a filter that outlives its process: a head that names the measure, then one line per kept text, in order."""

import json
from collections.abc import Iterator
from pathlib import Path

from stillhouse.errors import DatasetError, UserError
from stillhouse.runs import Lock, storage_errors

Row = str | int


class KeptFile:
    """Appends to what an earlier process kept. A line is handed to the system before `append` returns, so a killed process loses none; a power cut may.

    Raises RunBusyError where another filter has the file, UserError where it belongs to another measure or threshold or is something else,
    StorageError where it cannot be written.
    """

    def __init__(self, path: Path, measure: str, threshold: float) -> None:
        self.path = path
        head = json.dumps({measure: threshold}).encode() + b"\n"
        with storage_errors(path):
            self._lock = Lock(path.with_name(f".{path.name}.lock"), str(path))
            self._file = path.open("a+b")
            self._file.seek(0)
            first = self._file.readline()
            if first != head:
                if not head.startswith(
                    first
                ):  # nothing, or a head that its writer was killed in, is begun anew; all else is somebody's
                    self.close()
                    raise UserError(
                        f"{path}: is no state of a filter by {measure} with threshold {threshold:g}; give another file, or what it was begun with"
                    )
                self._file.truncate(0)
                self._file.write(head)
                self._file.flush()

    def read(self) -> Iterator[tuple[Row, list[str]]]:
        """What was kept: row and words. A last line that its writer was killed in is cut off."""
        with storage_errors(self.path):
            whole = self._file.tell()
            for number, line in enumerate(self._file, start=2):
                if not line.endswith(b"\n"):
                    self._file.truncate(whole)
                    return
                whole += len(line)
                yield self._kept(line, number)

    def _kept(self, line: bytes, number: int) -> tuple[Row, list[str]]:
        try:
            row, words = json.loads(line)
            return row, words.split()
        except (ValueError, TypeError, AttributeError):
            self.close()
            raise DatasetError(
                f"{self.path}:{number}: is no kept text; take the file away and run the filter over the texts again"
            ) from None

    def append(self, row: Row, words: list[str]) -> None:
        with storage_errors(self.path):
            self._file.write(json.dumps([row, " ".join(words)]).encode() + b"\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()
        self._lock.release()

"""Lines that come in any order, put into input order on disk: a slow row holds nothing up, and memory takes 8 bytes a row."""

import tempfile
from array import array
from pathlib import Path
from typing import Self

from stillhouse.runs import atomic, storage_errors

_ABSENT = 0


class Spool:
    """A nameless file on the disk of `beside`, and where each row's line begins in it."""

    def __init__(self, beside: Path) -> None:
        self._beside = beside
        with storage_errors(beside):
            self._file = tempfile.TemporaryFile(dir=beside.parent, buffering=2**20)  # noqa: SIM115  # closed in __exit__
        self._places = array("q")  # 1 + where the line begins; negative: a rejected row's; 0: none yet
        self._end = 0

    def add(self, index: int, line: bytes, *, kept: bool) -> None:
        """Take the row's line. Raises StorageError where the disk is full."""
        if index >= len(self._places):
            self._places.extend([_ABSENT] * (index + 1 - len(self._places)))
        self._places[index] = (1 + self._end) if kept else -(1 + self._end)
        with storage_errors(self._beside):
            self._file.write(line)
        self._end += len(line)

    def write(self, kept: Path, rejected: Path) -> None:
        """Both files in input order, each whole or not at all."""
        with storage_errors(self._beside):
            self._file.flush()
        for path, sign in ((kept, 1), (rejected, -1)):
            with atomic(path) as out:
                for place in self._places:
                    if place * sign > 0:
                        self._file.seek(abs(place) - 1)
                        out.write(self._file.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

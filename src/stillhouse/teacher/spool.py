"""Lines that come in any order, put into input order on disk.

A slow row holds nothing up, and memory does not grow with the rows.
"""

import contextlib
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

from stillhouse.runs import atomic, storage_errors

_PLACE = 8  # bytes of a stored place; a row that never came has zeros there, as a file's holes read as zeros
_RECENT = 4096  # number of places written at once: rows come nearly in order, so most of these lie side by side
_AT_ONCE = 2**16  # number of places read at once
_IN_MEMORY = 2**20  # most bytes of places kept in memory; more go to a file


class Spool:
    """Two nameless files on the disk of `beside`: the lines as they came, and where each row's line begins in it."""

    def __init__(self, beside: Path) -> None:
        self._beside = beside
        with storage_errors(beside):
            self._file = tempfile.TemporaryFile(dir=beside.parent, buffering=2**20)  # noqa: SIM115  # closed in __exit__
        self._places: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(beside.parent))  # noqa: SIM115
        self._recent: dict[int, int] = {}  # row -> 1 + the place where its line begins; negative for a rejected row
        self._end = 0

    def add(self, index: int, line: bytes, *, kept: bool) -> None:
        """Take the row's line. Raises StorageError where the disk is full."""
        self._recent[index] = (1 + self._end) if kept else -(1 + self._end)
        if len(self._recent) == _RECENT:
            self._put_down()
        with storage_errors(self._beside):
            self._file.write(line)
        self._end += len(line)

    def write(self, kept: Path, rejected: Path) -> None:
        """Both files in input order, each whole or not at all."""
        self._put_down()
        with storage_errors(self._beside):
            self._file.flush()
            self._places.flush()
        for path, sign in ((kept, 1), (rejected, -1)):
            with atomic(path) as out:
                for place in self._all_places():
                    if place * sign > 0:
                        self._file.seek(abs(place) - 1)
                        out.write(self._file.readline())

    def _put_down(self) -> None:
        """Write the recent places, each to where its row's is; neighbours go together."""
        rows = sorted(self._recent)
        start = 0
        with storage_errors(self._beside):
            for stop in range(1, len(rows) + 1):
                if stop == len(rows) or rows[stop] != rows[stop - 1] + 1:
                    self._places.seek(_PLACE * rows[start])
                    self._places.write(array("q", (self._recent[row] for row in rows[start:stop])).tobytes())
                    start = stop
        self._recent.clear()

    def _all_places(self) -> Iterator[int]:
        self._places.seek(0)
        while part := self._places.read(_PLACE * _AT_ONCE):
            yield from array("q", part)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        # Both files go with their names: on a full disk nobody misses what closing them cannot write any more.
        for file in (self._file, self._places):
            with contextlib.suppress(OSError):
                file.close()

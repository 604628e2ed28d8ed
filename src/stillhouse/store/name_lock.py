"""Locks on names beside a SQLite file: who holds one is alive.

The kernel drops a lock at any death of its process, SIGKILL included. A run of the journal belongs to the process that
holds its name, and so do the calls that an opened store has claimed. On Linux one lock file serves all names: each has
a byte of its own in it (open file description locks). So a hundred thousand runs do not leave a hundred thousand files.
Elsewhere every name has a lock file.
"""

import fcntl
import hashlib
import os
import struct
from pathlib import Path
from typing import Self

from stillhouse.errors import RunBusyError
from stillhouse.runs import Lock, storage_errors

_BYTES = 2**62  # among which a name's byte is chosen. The file stays empty: a lock may lie beyond a file's end
_SET, _GET = getattr(fcntl, "F_OFD_SETLK", None), getattr(fcntl, "F_OFD_GETLK", None)
_FLOCK = "hhqqi"  # struct flock: type, whence, start, length, process


class NameHeld(Exception):
    """Somebody has the name."""


class NameLock:
    """A name that this process holds until `release`. Raises NameHeld while another holds it."""

    def __init__(self, database: Path, name: str) -> None:
        self._file: Lock | None = None
        self._fd = -1
        if _SET is None:
            try:
                self._file = Lock(_file_of(database, name), name)
            except RunBusyError:
                raise NameHeld from None
            return
        self._fd = _opened(database)
        try:
            fcntl.fcntl(self._fd, _SET, _byte_of(name))
        except BlockingIOError:
            self.release()
            raise NameHeld from None
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        if self._file is not None:
            self._file.release()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def is_held(database: Path, name: str) -> bool:
    """Whether somebody, this process included, holds the name."""
    if _GET is None:
        if not _file_of(database, name).exists():
            return False
        try:
            NameLock(database, name).release()
        except NameHeld:
            return True
        return False
    fd = _opened(database)
    try:
        kind, *_ = struct.unpack(_FLOCK, fcntl.fcntl(fd, _GET, _byte_of(name)))
    finally:
        os.close(fd)
    return bool(kind != fcntl.F_UNLCK)


def _opened(database: Path) -> int:
    real = database.resolve()  # whoever names the file by a link looks at the same locks
    path = real.with_name(f".{real.name}.lock")
    with storage_errors(path):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _byte_of(name: str) -> bytes:
    byte = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _BYTES
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)


def _file_of(database: Path, name: str) -> Path:
    real = database.resolve()
    return real.parent / f".{real.name}.runs" / f"{name}.lock"

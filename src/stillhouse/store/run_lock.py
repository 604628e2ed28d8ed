"""The right to a run of a SQLite journal: held while the process lives, and dropped by the kernel on any death, SIGKILL included.

On Linux one lock file serves all runs of a journal, each by a byte of its own (open file description locks), so that a hundred thousand runs do not leave as
many files, and none has to be made per run. Elsewhere every run has a lock file.
"""

import contextlib
import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from stillhouse.runs import Lock, storage_errors

_BYTES = 2**62  # a run's byte in the file, which stays empty: locks may lie beyond its end
_OFD = getattr(fcntl, "F_OFD_SETLK", None)


class Held(Exception):
    """Somebody has the run."""


@contextlib.contextmanager
def run_lock(journal: Path, run: str) -> Iterator[None]:
    """Hold the run. Raises Held while another holds it, or on systems with a lock file each RunBusyError."""
    if _OFD is None:
        with Lock(journal.parent / f".{journal.name}.runs" / f"{run}.lock", f"the run {run}"):
            yield
        return
    path = journal.with_name(f".{journal.name}.lock")
    with storage_errors(path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        byte = int.from_bytes(hashlib.sha256(run.encode()).digest()[:8], "big") % _BYTES
        try:
            fcntl.fcntl(fd, _OFD, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
        except BlockingIOError:
            raise Held from None
        yield
    finally:
        os.close(fd)

"""Who owns a run of a SQLite journal: the process that holds its lock.

The kernel drops the lock at any death of the process, SIGKILL included. On Linux one lock file serves all runs of a
journal: each run has a byte of its own in it (open file description locks). So a hundred thousand runs do not leave a
hundred thousand files. Elsewhere every run has a lock file.
"""

import contextlib
import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from stillhouse.runs import Lock, storage_errors

# Number of bytes among which a run's lock is chosen. The file stays empty: a lock may lie beyond a file's end.
_BYTES = 2**62
_OFD = getattr(fcntl, "F_OFD_SETLK", None)


class RunHeld(Exception):
    """Somebody has the run."""


@contextlib.contextmanager
def run_lock(journal: Path, run: str) -> Iterator[None]:
    """Hold the run. Raises RunHeld while another holds it; on systems with a lock file for each run, RunBusyError."""
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
            raise RunHeld from None
        yield
    finally:
        os.close(fd)

"""Claims: whoever is about to pay for a call says so in the store first, so two commands never pay for one call.

A claim has an owner: one opened store of one process. It ends when the call's completion is stored, in the same
transaction; or when its owner gives it up, as the call failed; or when its owner is dead. Whether that lives is told by
a lock that dies with it (of the kernel beside a SQLite file, of the server in PostgreSQL) and by a heartbeat. A call
whose owner is dead may be claimed at once, one whose owner is only silent (paused, or on another machine) after 30 s.
No clock that is set takes a claim from a live owner on this machine: whoever waits for it measures its silence himself.
An owner that starts clears away what dead ones have left.

A batch outlives the process that sent it. So do its claims: they end when the file that lists the batch is gone.
"""

import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

SILENCE_S = 30.0  # an owner that was silent for longer has lost its claims
BEAT_S = 10.0  # between two heartbeats of an owner that has claims
LONGEST_BATCH_S = 86_400.0 + 3600  # a batch ends within a day, whoever sent it
TABLES = (
    "CREATE TABLE IF NOT EXISTS claims (request_hash TEXT PRIMARY KEY, owner TEXT NOT NULL, batch TEXT)",
    # `seen`: the owner's last heartbeat, in seconds since 1970 by the database's clock.
    "CREATE TABLE IF NOT EXISTS claimants (owner TEXT PRIMARY KEY, seen DOUBLE PRECISION NOT NULL)",
)
# What an owner that closes gives up; a batch outlives it.
GIVE_UP = (
    "DELETE FROM claims WHERE owner = {} AND batch IS NULL",
    "DELETE FROM claimants WHERE owner = {} AND owner NOT IN (SELECT owner FROM claims)",
)
Claimed = Literal["ours", "answered", "theirs"]  # what a claim came to; "answered": the completion is there by now


@dataclass(frozen=True, slots=True)
class ToClaim:
    """A request to claim. `batch`, as `batch_of` gives it: it is sent in a batch."""

    request_hash: str
    batch: str | None = None


@dataclass(frozen=True, slots=True)
class ToRelease:
    """A request to give up: nobody pays for it here any more."""

    request_hash: str


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """A claim as the database has it, with what is known of its owner."""

    request_hash: str
    owner: str
    batch: str | None
    silent_s: float | None  # since the owner's last heartbeat; None: it has given up all that it had
    dead: bool  # its lock is free

    def held(self) -> Literal["process", "batch"] | None:
        """What still stands behind the claim; None: nothing does, and whoever comes may take it over."""
        if not self.dead and self.silent_s is not None and not self.fell_silent:
            return "process"
        if self.batch is None:
            return None
        host, _, path = self.batch.partition(":")
        if host == socket.gethostname():
            return "batch" if Path(path).exists() else None
        return "batch" if self.silent_s is not None and self.silent_s <= LONGEST_BATCH_S else None

    @property
    def fell_silent(self) -> bool:
        """Whether its owner may live, and was not heard of for too long."""
        return not self.dead and self.silent_s is not None and self.silent_s > SILENCE_S

    def is_left(self, by_us: str) -> bool:
        """Whether it may be cleared away: it is not ours, nothing stands behind it, and its owner does not come back.

        An owner that is only silent may: it was paused, and what it claims next must find its heartbeat.
        """
        gone = self.dead or self.silent_s is None or self.silent_s > LONGEST_BATCH_S
        return self.owner != by_us and gone and self.held() is None

    def free_for(self, batch: str | None) -> bool:
        """Whether it may be taken over, for this batch or (None) for a call of its own."""
        held = self.held()
        return held is None or (held == "batch" and self.batch == batch)


class Silence:
    """How long owners are silent.

    By the clock of the database, as a rule. But an owner on this machine whose lock is held lives: it may be paused,
    and the clock may have been set forward. So it counts as silent from when this process saw its last heartbeat. So
    does an owner whose heartbeat is of the future, as the clock was set back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float, float]] = {}  # owner -> its last heartbeat, and when we first saw that

    def of(self, owner: str, heartbeat: float | None, by_clock_s: float | None, *, here: bool) -> float | None:
        """`by_clock_s`: since its heartbeat; None: there is none. `here`: its lock is held on this machine."""
        if heartbeat is None or by_clock_s is None:
            return None
        now = self._clock()
        if self._seen.get(owner, (None, now))[0] != heartbeat:
            self._seen[owner] = (heartbeat, now)
        return now - self._seen[owner][1] if here or by_clock_s < 0 else by_clock_s


def new_owner() -> str:
    """HOST:PID:RANDOM."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"


def host_of(owner: str) -> str:
    return owner.rsplit(":", 2)[0]


def process_of(owner: str) -> str:
    """An owner as a person finds it: PID, and the machine where it is another one."""
    host, pid, _ = owner.rsplit(":", 2)
    return pid if host == socket.gethostname() else f"{pid} on {host}"


def is_here(owner: str) -> bool:
    """Whether it is an opened store of this very process."""
    return owner.rsplit(":", 1)[0] == f"{socket.gethostname()}:{os.getpid()}"


def batch_of(path: Path) -> str:
    """How claims name a batch: the machine and the file on it that lists the batches under way."""
    return f"{socket.gethostname()}:{path.resolve()}"


@dataclass(slots=True)
class ClaimWork:
    """What one commit does to the claims."""

    asked: dict[str, str | None] = field(default_factory=dict)  # to claim; the value is the batch, if any
    claimants: dict[int, str] = field(default_factory=dict)  # which of the gathered items asked for which of them
    released: list[str] = field(default_factory=list)
    beat: bool = False


class OwnClaims:
    """What one opened store has claimed. Only the thread that writes to the store changes it."""

    def __init__(self) -> None:
        self.owner = new_owner()
        self.held: set[str] = set()
        self.silence = Silence()
        self.any_made = False
        self._released: set[str] = set()  # and not known to be gone from the database
        self._beat_at = -BEAT_S

    def gathered(self, items: Sequence[object], stored: set[str]) -> ClaimWork:
        """What to do for these items, in their order. `stored`: the requests whose completions come with them.

        A store is shared by the tasks of a process, and what one of them has claimed is not another's.
        """
        work = ClaimWork()
        for index, item in enumerate(items):
            if isinstance(item, ToClaim):
                hash_ = item.request_hash
                if hash_ not in work.asked and (hash_ not in self.held or hash_ in stored):
                    work.asked[hash_] = item.batch
                    work.claimants[index] = hash_
            elif isinstance(item, ToRelease):
                # Whoever gives up a claim that is gathered here was stopped, and does not wait for it any more.
                work.asked.pop(item.request_hash, None)
                self.held.discard(item.request_hash)
                self._released.add(item.request_hash)
        work.released = [hash_ for hash_ in self._released if hash_ not in work.asked]
        work.beat = bool(self.held or work.asked) and time.monotonic() - self._beat_at >= BEAT_S
        return work

    def committed(self, work: ClaimWork, stored: set[str], claimed: Mapping[str, Claimed]) -> None:
        self.held -= stored
        self.held |= {hash_ for hash_, outcome in claimed.items() if outcome == "ours"}
        self.any_made = self.any_made or bool(claimed)
        self._released -= {*work.released, *claimed}
        if work.beat:
            self._beat_at = time.monotonic()

"""Who owns a run, where many machines share a PostgreSQL journal.

An owner holds a lease and keeps it up by a heartbeat; it ends by the database's clock. When an owner dies the heartbeat
stops, and whoever comes first after the lease ran out takes the run over. An owner that was only paused finds its lease
gone: every write checks, in its own statement, that the lease is still the writer's, so the old owner can no longer
write.
"""

import os
import socket
import threading
import time
import uuid

from stillhouse.errors import RunBusyError, StorageError
from stillhouse.store.postgres import PostgresAddress, PostgresConnection

# `owner` is HOST:PID:RANDOM, made anew each time a run is taken. It is UNIQUE so that, to PostgreSQL, a new owner is a
# change of a key. Such a change waits for the writes under way, which hold the row FOR KEY SHARE, so a new owner sees
# all that the old one wrote. A heartbeat changes no key and waits for nobody.
LEASES = (
    "CREATE TABLE IF NOT EXISTS leases (run TEXT PRIMARY KEY, owner TEXT NOT NULL UNIQUE, expires TIMESTAMPTZ NOT NULL)"
)
OPEN_RUNS = "CREATE INDEX IF NOT EXISTS open_runs ON runs (created) WHERE status IN ('queued', 'running')"
_UNTIL = "clock_timestamp() + %(lease_s)s * interval '1 second'"
_TAKE_NEW = f"INSERT INTO leases VALUES (%(run)s, %(owner)s, {_UNTIL}) ON CONFLICT DO NOTHING RETURNING run"
_TAKE_OVER = f"""UPDATE leases SET owner = %(owner)s, expires = {_UNTIL}
    WHERE run = (
        SELECT run FROM leases WHERE run = %(run)s AND (expires < clock_timestamp() OR owner = %(owner)s)
        FOR UPDATE SKIP LOCKED
    ) RETURNING run"""
_OWNER = "SELECT owner, extract(epoch FROM expires - clock_timestamp())::float8 FROM leases WHERE run = %s"
_HEARTBEAT = f"""WITH beaten AS (UPDATE leases SET expires = {_UNTIL} WHERE owner = ANY(%(owners)s) RETURNING run)
    SELECT run FROM runs JOIN beaten USING (run) WHERE status = 'cancelled'"""
# A write holds the lease and may wait for the run's row. A claim holds the run's row and must not wait for a lease,
# or a write and a claim would wait for each other for ever.
_CLAIM = f"""WITH next AS (
        SELECT runs.run FROM runs LEFT JOIN leases ON leases.run = runs.run
        WHERE status IN ('queued', 'running') AND runs.run ~ %(pattern)s
            AND (leases.run IS NULL OR expires < clock_timestamp())
        ORDER BY created, runs.run LIMIT 1 FOR UPDATE OF runs SKIP LOCKED
    ), fresh AS (
        INSERT INTO leases SELECT run, %(owner)s, {_UNTIL} FROM next ON CONFLICT DO NOTHING RETURNING run
    ), over AS (
        UPDATE leases SET owner = %(owner)s, expires = {_UNTIL}
        WHERE run = (SELECT leases.run FROM leases JOIN next ON leases.run = next.run WHERE expires < clock_timestamp()
            FOR UPDATE OF leases SKIP LOCKED) RETURNING run
    ), taken AS (SELECT run FROM fresh UNION ALL SELECT run FROM over
    ), begun AS (UPDATE runs SET status = 'running' FROM taken WHERE runs.run = taken.run)
    SELECT (SELECT run FROM next), (SELECT run FROM taken)"""
_LOOK_AGAIN_S = 0.005  # seconds between two tries while another process is just taking the run or giving it back


class Leases:
    """The runs that one journal of this process owns. One thread, on a connection of its own, keeps all of them up."""

    def __init__(self, db: PostgresConnection, address: PostgresAddress) -> None:
        self._db, self._address = db, address
        self._held: dict[str, str] = {}  # run -> the owner text of the lease that this process holds
        self.cancelled: set[str] = set()  # runs of ours that somebody else cancelled, as far as it is known here
        self._claimed: set[str] = set()  # runs whose lease this process holds, but which nobody has come to run yet
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def owner(self, run: str) -> str:
        """The owner text under which this process has the run: what its writes must still find in the lease."""
        if run not in self._held:
            raise StorageError(f"the run {run} is written by a process that does not own it; take it with own() first")
        return self._held[run]

    def take(self, run: str) -> None:
        """Become the owner of a run that nobody owns, whose owner is dead, or that `claim` gave us.

        Raises RunBusyError, naming the owner, where another process owns it and is alive.
        """
        with self._lock:
            if run in self._claimed:
                self._claimed.discard(run)
                return
        owner = self._new_owner()
        values = {"run": run, "owner": owner, "lease_s": self._address.lease_s}
        give_up = time.monotonic() + self._address.lease_s
        while not self._db.execute(_TAKE_NEW, values) and not self._db.execute(_TAKE_OVER, values):
            leases = self._db.execute(_OWNER, (run,))
            if leases and (leases[0][1] > 0 or time.monotonic() > give_up):
                [(other, left_s)] = leases
                again = f"if it is dead, the run is free in {max(left_s, 0):.0f} s"
                raise RunBusyError(
                    f"the run {run} is in use by {_process(other)}; "
                    f"wait for it or stop it, then run this again ({again})"
                )
            time.sleep(_LOOK_AGAIN_S)
        self._hold(run, owner)

    def claim(self, pattern: str) -> str | None:
        """Take the oldest run that is queued, or whose owner died, and whose id matches this regular expression.

        None: there is none now.
        """
        owner = self._new_owner()
        values = {"pattern": pattern, "owner": owner, "lease_s": self._address.lease_s}
        while True:
            [(free, taken)] = self._db.execute(_CLAIM, values)
            if free is None:
                return None
            if taken is not None:
                self._hold(str(taken), owner)
                self._claimed.add(str(taken))
                return str(taken)
            time.sleep(_LOOK_AGAIN_S)

    def release(self, run: str) -> None:
        """Give the run back."""
        with self._lock:
            owner = self._held.pop(run)
            self._claimed.discard(run)
            self.cancelled.discard(run)
        self._db.execute("DELETE FROM leases WHERE owner = %s", (owner,))

    def lost(self, run: str) -> RunBusyError:
        """What to say to a writer whose lease is another's by now."""
        leases = self._db.execute(_OWNER, (run,))
        by = _process(leases[0][0]) if leases else "another process"
        why = f"this process was silent for longer than its lease of {self._address.lease_s:g} s"
        return RunBusyError(f"the run {run} was taken over by {by}, as {why}; leave it to the other one")

    def close(self) -> None:
        """Give everything back, and end the heartbeat."""
        self._ended.set()
        for run in list(self._held):
            self.release(run)
        if self._thread is not None:
            self._thread.join()

    def _new_owner(self) -> str:
        return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"

    def _hold(self, run: str, owner: str) -> None:
        with self._lock:
            self._held[run] = owner
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)
                self._thread.start()

    def _beat(self) -> None:
        db = PostgresConnection(self._address)
        while not self._ended.wait(self._address.lease_s / 3):
            with self._lock:
                owners = list(self._held.values())
            if not owners:
                continue
            try:
                beaten = db.execute(_HEARTBEAT, {"owners": owners, "lease_s": self._address.lease_s})
                self.cancelled |= {run for (run,) in beaten}
            except StorageError:
                # The next heartbeat may reach the database. If none does in time, the next write reports that.
                continue
        db.close()


def _process(owner: str) -> str:
    """An owner text as messages name it."""
    host, pid, _ = owner.rsplit(":", 2)
    return f"process {pid} on {host}"

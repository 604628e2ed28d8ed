"""Grouped commits: one thread commits whatever has gathered since its last commit.

Thousands of writes a second share a few fsyncs or round trips, and the event loop never waits for a database.
"""

import asyncio
import contextlib
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from stillhouse.errors import StillhouseError, StorageError

_GROUP = 1000  # most items per commit
T = TypeVar("T")
Outcome = StillhouseError | None  # the error of one item; None: the item is committed
_Settled = list[tuple["asyncio.Future[None]", Outcome]]


class GroupWriter(Generic[T]):
    """A thread and its queue.

    `commit` writes the items that have gathered and gives the outcome of each. An error that it raises is the outcome
    of all of them.
    """

    def __init__(self, name: str, commit: Callable[[Sequence[T]], Sequence[Outcome]]) -> None:
        self._commit = commit
        self._queue: queue.SimpleQueue[
            tuple[T, asyncio.AbstractEventLoop, asyncio.Future[None]] | threading.Event | None
        ] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name=name, daemon=True)
        self._thread.start()

    async def put(self, item: T) -> None:
        """Return when the item is committed, or raise why it is not.

        A caller that is cancelled no longer waits; its item is committed all the same.
        """
        if not self._thread.is_alive():
            raise StorageError(f"the {self._thread.name} is closed already; open the store again")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._queue.put((item, loop, done))
        await done

    def flush(self) -> None:
        """Wait until all that was put before is committed or refused."""
        reached = threading.Event()
        self._queue.put(reached)
        while self._thread.is_alive() and not reached.wait(1.0):
            pass

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _write_all(self) -> None:
        last = False
        while not last:
            gathered = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(gathered) < _GROUP:
                    gathered.append(self._queue.get_nowait())
            last = None in gathered
            self._settle([write for write in gathered if isinstance(write, tuple)])
            for reached in gathered:
                if isinstance(reached, threading.Event):
                    reached.set()

    def _settle(self, writes: Sequence[tuple[T, asyncio.AbstractEventLoop, "asyncio.Future[None]"]]) -> None:
        if not writes:
            return
        try:
            outcomes = self._commit([item for item, _, _ in writes])
        except StillhouseError as error:
            outcomes = [error] * len(writes)
        except Exception as error:  # the thread must survive any error: otherwise whoever waits would wait for ever
            outcomes = [StorageError(f"a write was refused ({type(error).__name__}: {error})")] * len(writes)
        by_loop: defaultdict[asyncio.AbstractEventLoop, _Settled] = defaultdict(list)
        for (_, loop, done), outcome in zip(writes, outcomes, strict=True):
            by_loop[loop].append((done, outcome))
        for loop, settled in by_loop.items():
            # RuntimeError: the loop is closed. Whoever waited is gone, and the rows are committed all the same.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_tell, settled)


def _tell(settled: _Settled) -> None:
    """Wake those who wait; runs in their event loop."""
    for done, outcome in settled:
        if done.done():
            continue
        if outcome is None:
            done.set_result(None)
        else:
            done.set_exception(outcome)

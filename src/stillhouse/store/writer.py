"""Grouped commits: one thread commits whatever has gathered since its last commit.

Thousands of writes a second share a few fsyncs or round trips, and the event loop never waits for a database.
"""

import asyncio
import contextlib
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from stillhouse.errors import StillhouseError, StorageError

_GROUP = 1000  # most items per commit
T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class _Write(Generic[T, R]):
    """One item. Whoever waits for its outcome has a future in an event loop; `loop` None: nobody waits."""

    item: T
    loop: asyncio.AbstractEventLoop | None = None
    done: "asyncio.Future[R] | None" = None


class GroupWriter(Generic[T, R]):
    """A thread and its queue.

    `commit` writes the items that have gathered and gives the outcome of each: what `put` returns, or an error that it
    raises. An error that `commit` itself raises is the outcome of all of them. With `idle_s`, `commit` is called with
    nothing where nothing came for so long.
    """

    def __init__(
        self,
        name: str,
        commit: Callable[[Sequence[T]], Sequence[R | StillhouseError]],
        *,
        idle_s: float | None = None,
    ) -> None:
        self._commit, self._idle_s = commit, idle_s
        self._queue: queue.SimpleQueue[_Write[T, R] | threading.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name=name, daemon=True)
        self._thread.start()

    async def put(self, item: T) -> R:
        """Return the item's outcome when it is committed, or raise why it is not.

        A caller that is cancelled no longer waits; its item is committed all the same.
        """
        if not self._thread.is_alive():
            raise StorageError(f"the {self._thread.name} is closed already; open the store again")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[R] = loop.create_future()
        self._queue.put(_Write(item, loop, done))
        return await done

    def send(self, item: T) -> None:
        """Have the item committed after all that was put before, and wait for nothing. Its outcome is dropped."""
        self._queue.put(_Write(item))

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
            gathered: list[_Write[T, R] | threading.Event | None] = []
            with contextlib.suppress(queue.Empty):
                gathered.append(self._queue.get(timeout=self._idle_s))
            with contextlib.suppress(queue.Empty):
                while len(gathered) < _GROUP:
                    gathered.append(self._queue.get_nowait())
            last = None in gathered
            self._settle([write for write in gathered if isinstance(write, _Write)], idle=not gathered)
            for reached in gathered:
                if isinstance(reached, threading.Event):
                    reached.set()

    def _settle(self, writes: Sequence[_Write[T, R]], *, idle: bool) -> None:
        if not writes and not idle:
            return
        outcomes: Sequence[R | StillhouseError]
        try:
            outcomes = self._commit([write.item for write in writes])
        except StillhouseError as error:
            outcomes = [error] * len(writes)
        except Exception as error:  # the thread must survive any error: otherwise whoever waits would wait for ever
            outcomes = [StorageError(f"a write was refused ({type(error).__name__}: {error})")] * len(writes)
        by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[R], R | StillhouseError]]]
        by_loop = defaultdict(list)
        for write, outcome in zip(writes, outcomes, strict=True):
            if write.loop is not None and write.done is not None:
                by_loop[write.loop].append((write.done, outcome))
        for loop, settled in by_loop.items():
            # RuntimeError: the loop is closed. Whoever waited is gone, and the rows are committed all the same.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_tell, settled)


def _tell(settled: "Sequence[tuple[asyncio.Future[R], R | StillhouseError]]") -> None:
    """Wake those who wait; runs in their event loop."""
    for done, outcome in settled:
        if done.done():
            continue
        if isinstance(outcome, StillhouseError):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)

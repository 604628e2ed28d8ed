"""What an event loop has to do: whether anything is due in it, and whether it has made a turn meanwhile.

asyncio's own loops keep their callbacks that are due in `_ready`. uvloop's keep theirs in a queue of the same kind that
has no name in Python; it is found among what the loop refers to, as the one that takes a callback which is given to it.
"""

import asyncio
import gc
import weakref
from collections import deque
from collections.abc import Sized
from typing import cast


class Turns:
    """Counts the turns of one loop in which somebody asked. A call that waits for anything goes on in a later one."""

    def __init__(self) -> None:
        self.n = 0
        self._is_due = False

    def now(self, loop: asyncio.AbstractEventLoop) -> int:
        """The number of this turn. Whatever begins to wait now goes on after the count: that is before it in line."""
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._count)
        return self.n

    def _count(self) -> None:
        self.n += 1
        self._is_due = False


def anything_is_due(loop: asyncio.AbstractEventLoop) -> bool | None:
    """Whether the loop has callbacks to run at once, without the one that is running; None where it does not tell."""
    ready = getattr(loop, "_ready", None)
    if ready is None:
        if loop not in _queues:
            _queues[loop] = _queue_of(loop)
        ready = _queues[loop]
    return None if ready is None else bool(ready)


# Of each loop that does not name it the queue of what is due; None: it was not found.
_queues: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Sized | None]" = weakref.WeakKeyDictionary()


def _queue_of(loop: asyncio.AbstractEventLoop) -> Sized | None:
    handle = loop.call_soon(_nothing)
    queues = [each for each in gc.get_referents(loop) if isinstance(each, deque) and handle in each]
    handle.cancel()
    return cast(Sized, queues[0]) if len(queues) == 1 else None


def _nothing() -> None:
    pass

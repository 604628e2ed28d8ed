"""What the runs of one process share while any of them is under way: one connection of a journal, one store, one client of an endpoint and its limiter."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar


class Closable(Protocol):
    def close(self) -> Any: ...


T = TypeVar("T", bound=Closable)
_open: dict[Hashable, tuple[Any, int]] = {}


@asynccontextmanager
async def shared(key: Hashable, make: Callable[[], T]) -> AsyncIterator[T]:
    """The thing under `key`, made by the first who asks in this event loop and closed by the last who leaves."""
    key = (asyncio.get_running_loop(), key)
    thing, users = _open.get(key) or (make(), 0)
    _open[key] = thing, users + 1
    try:
        yield thing
    finally:
        thing, users = _open.pop(key)
        if users > 1:
            _open[key] = thing, users - 1
        elif asyncio.iscoroutine(closing := thing.close()):
            await closing

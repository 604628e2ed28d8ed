"""What the runs of one process share: a journal's connection, a store, an endpoint's client with its limiter.

A thing is open while any run uses it. One that takes long to open may linger after the last run has left, for the next
run to find.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar


class Closable(Protocol):
    def close(self) -> Any: ...


T = TypeVar("T", bound=Closable)


@dataclass(eq=False)
class _Held(Generic[T]):
    thing: T
    users: int = 0
    # How often a last user has left the thing. A timer closes the thing only if this number has not grown meanwhile.
    left: int = 0
    keeper: AsyncIterator[None] | None = None  # closes the thing when the event loop ends

    @property
    def usable(self) -> bool:
        """Whether the next user may have it: the file of a lingering thing may have been deleted or replaced."""
        return self.users > 0 or bool(getattr(self.thing, "in_place", True))


_open: dict[Hashable, _Held[Any]] = {}


@asynccontextmanager
async def shared(key: Hashable, make: Callable[[], T], *, linger_s: float = 0.0) -> AsyncIterator[T]:
    """The thing under `key`: made by the first who asks in this event loop, closed when the last leaves.

    With `linger_s` it is closed that long after the last left, or with the loop; closing must then await nothing.
    """
    loop = asyncio.get_running_loop()
    place = (loop, key)
    held: _Held[T] | None = _open.get(place)
    if held is not None and not held.usable:
        _close(place, held)
        held = None
    if held is None:
        held = _open[place] = _Held(make())
    held.users += 1
    try:
        yield held.thing
    finally:
        held.users -= 1
        if not held.users:
            held.left += 1
            if not linger_s:
                if asyncio.iscoroutine(closing := _close(place, held)):
                    await closing
            else:
                if held.keeper is None:
                    held.keeper = _closed_with_the_loop(place, held)
                    await anext(held.keeper)
                loop.call_later(linger_s, _close_unused, place, held, held.left)


def _close(place: Hashable, held: _Held[T]) -> Any:
    if _open.get(place) is held:
        del _open[place]
        return held.thing.close()
    return None


def _close_unused(place: Hashable, held: _Held[T], left: int) -> None:
    if not held.users and held.left == left:
        _close(place, held)


async def _closed_with_the_loop(place: Hashable, held: _Held[T]) -> AsyncIterator[None]:
    """Never read to its end: `asyncio.run` closes the generators that are left before it closes the loop."""
    try:
        yield
    finally:
        _close(place, held)

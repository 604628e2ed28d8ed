"""Many calls at once, in any order, with a bound on how many are under way and none on how many there are.

A failure for good (wrong key, spent budget) stops new calls; those under way are paid for, so they are waited for and stored. A call that waits for its next
try does not count: another row is begun in its place, so rows that an endpoint chokes on never block the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from stillhouse.errors import StillhouseError
from stillhouse.llm.request import Completion, Model, Request, between_tries

_MOST_WAITING = (
    8  # times the calls under way: beyond it the endpoint fails as a whole, and more rows would only wait as well
)
In = TypeVar("In")
Out = TypeVar("Out")


class Bulk(Generic[In, Out]):
    """At most `at_once()` calls of `one` are under way."""

    def __init__(self, at_once: Callable[[], int], one: Callable[[In], Awaitable[Out]]) -> None:
        self._at_once, self._one = at_once, one
        self._workers = self._waiting = 0
        self._failed: list[StillhouseError] = []

    async def run(self, inputs: Iterable[In], take: Callable[[int, In, Out], None]) -> None:
        """Hand every input's number, itself and its result to `take` as they come. Raises the first error that stopped the work."""
        numbered = iter(enumerate(inputs))  # workers share one iterator, so a million rows are never a million tasks
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._start(numbered, take)
        except* Exception as errors:
            raise _first(errors) from None
        if self._failed:
            raise self._failed[0]

    def _start(self, numbered: Iterator[tuple[int, In]], take: Callable[[int, In, Out], None]) -> None:
        """As many workers as may be under way now."""
        at_once = self._at_once()
        while self._workers < at_once + min(self._waiting, _MOST_WAITING * at_once):
            self._workers += 1
            self._group.create_task(self._work(numbered, take))

    async def _work(self, numbered: Iterator[tuple[int, In]], take: Callable[[int, In, Out], None]) -> None:
        def waits(more: int) -> None:
            self._waiting += more
            if more > 0 and not self._failed:
                self._start(numbered, take)

        between_tries.set(waits)  # of this task alone
        while not self._failed and self._workers <= self._at_once() + self._waiting:
            try:
                found = next(numbered, None)
                if found is None:
                    break
                index, given = found
                result = await self._one(given)
            except StillhouseError as error:
                self._failed.append(error)
                break
            take(index, given, result)
            if self._workers < self._at_once():  # more may be under way than before
                self._start(numbered, take)
        self._workers -= 1


async def complete_all(model: Model, requests: Sequence[Request], at_once: int) -> list[Completion | StillhouseError]:
    """Every reply, in the requests' order. An error is a value here: the other calls are paid for, so they are waited for."""
    gate = asyncio.Semaphore(at_once)

    async def complete(request: Request) -> Completion | StillhouseError:
        async with gate:
            try:
                return await model.complete(request)
            except StillhouseError as error:
                return error

    return await asyncio.gather(*(complete(request) for request in requests))


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first real error of a group of workers that all met the same trouble."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error

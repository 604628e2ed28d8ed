"""Many calls at once: how many are under way is bounded, how many there are in all is not.

A failure for good (wrong key, spent budget) stops new calls. Those under way are paid for, so they are waited for and
stored. While a call waits for its next try, another row is begun in its place, so rows that an endpoint keeps refusing
never block the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from stillhouse.errors import StillhouseError
from stillhouse.llm.request import Completion, Model, Request, between_tries

# Calls that may wait for their next try, as a multiple of the calls under way. If more of them wait, the endpoint fails
# as a whole, and further rows would only wait as well.
_MOST_WAITING = 8
In = TypeVar("In")
Out = TypeVar("Out")


class Bulk(Generic[In, Out]):
    """Calls `call` on every input, with at most `at_once()` calls under way."""

    def __init__(self, at_once: Callable[[], int], call: Callable[[In], Awaitable[Out]]) -> None:
        self._at_once, self._call = at_once, call
        self._workers = self._waiting = 0
        self._failed: list[StillhouseError] = []

    async def run(self, inputs: Iterable[In], take: Callable[[int, In, Out], None]) -> None:
        """Hand every input's number, the input and its result to `take`, in the order in which the results come.

        Raises the first error that stopped the work.
        """
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
        """Start workers until there are as many as there may be now."""
        at_once = self._at_once()
        while self._workers < at_once + min(self._waiting, _MOST_WAITING * at_once):
            self._workers += 1
            self._group.create_task(self._work(numbered, take))

    async def _work(self, numbered: Iterator[tuple[int, In]], take: Callable[[int, In, Out], None]) -> None:
        def waits(more: int) -> None:
            self._waiting += more
            if more > 0 and not self._failed:
                self._start(numbered, take)

        between_tries.set(waits)  # set for this task alone
        while not self._failed and self._workers <= self._at_once() + self._waiting:
            try:
                following = next(numbered, None)
                if following is None:
                    break
                number, input_ = following
                result = await self._call(input_)
            except StillhouseError as error:
                self._failed.append(error)
                break
            take(number, input_, result)
            if self._workers < self._at_once():  # the number of calls allowed at once has grown meanwhile
                self._start(numbered, take)
        self._workers -= 1


async def complete_all(model: Model, requests: Sequence[Request], at_once: int) -> list[Completion | StillhouseError]:
    """Every reply, in the requests' order. An error is a value here: the other calls are paid for, and waited for."""
    gate = asyncio.Semaphore(at_once)

    async def complete(request: Request) -> Completion | StillhouseError:
        async with gate:
            try:
                return await model.complete(request)
            except StillhouseError as error:
                return error

    return await asyncio.gather(*(complete(request) for request in requests))


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first error of a group of workers that all met the same trouble; groups may hold groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error

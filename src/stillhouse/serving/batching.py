"""Micro-batches: requests that come within a few milliseconds are predicted in one call.

Requests that come while a call runs share the next one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from stillhouse.records import Example

T = TypeVar("T")


class Batcher(Generic[T]):
    """`await ask(example)` is that row's part of what `predict([...])` returns. One call of `predict` runs at a time.

    `most`: rows per call. `wait_s`: how long a row that comes while nothing runs waits for others.
    """

    def __init__(
        self, predict: Callable[[Sequence[Example]], Awaitable[Sequence[T]]], *, most: int = 32, wait_s: float = 0.002
    ) -> None:
        self._predict, self._most, self._wait_s = predict, most, wait_s
        self._waiting: list[tuple[Example, asyncio.Future[T]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, example: Example) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((example, answer))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            await asyncio.sleep(self._wait_s)
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                # An answer that is done before its row was asked was cancelled: the client has gone.
                await self._answer([(example, answer) for example, answer in batch if not answer.done()])
        finally:
            self._worker = None

    async def _answer(self, batch: Sequence[tuple[Example, "asyncio.Future[T]"]]) -> None:
        if not batch:
            return
        try:
            answers = await self._predict([example for example, _ in batch])
            if len(answers) != len(batch):
                raise ValueError(f"{len(answers)} answers to {len(batch)} rows")
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0][1], error)
                return
            for row in batch:  # the rows are asked again one by one: only the row that breaks the model is to fail
                await self._answer([row])
            return
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)


def _fail(waiting: "asyncio.Future[T]", error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)

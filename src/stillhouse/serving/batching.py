"""Micro-batches: requests that come within a few milliseconds are predicted in one call.

Requests that come while a call runs share the next one. A call's time grows with the characters that are read in it, so
a call holds so many at most. A long row, and each row of a request that has long work together, runs beside the short
ones: a short row waits for short rows alone.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from stillhouse.records import Example
from stillhouse.serving.bounds import MOST_CHARACTERS_PER_BATCH, characters_read

T = TypeVar("T")
LONG_ROW = 4_000  # characters; a batch of 32 shorter ones is what a student reads in some ten milliseconds


class Batcher(Generic[T]):
    """`await ask(example)` is that row's part of what `predict([...])` returns.

    One call of short rows and one of long rows run at a time; `predict` must stand that.
    `most`: rows per call. `wait_s`: how long a row that comes while nothing runs waits for others. `in_pairs`: the
    model reads a row's input once per choice.
    """

    def __init__(
        self,
        predict: Callable[[Sequence[Example]], Awaitable[Sequence[T]]],
        *,
        most: int = 32,
        most_characters: int = MOST_CHARACTERS_PER_BATCH,
        long_row: int = LONG_ROW,
        in_pairs: bool = False,
        wait_s: float = 0.002,
    ) -> None:
        self._long_row, self._in_pairs = long_row, in_pairs
        self._short = _Queue(predict, most, most_characters, wait_s)
        self._long = _Queue(predict, most, most_characters, wait_s)

    async def ask(self, example: Example, of_request: int = 0) -> T:
        """`of_request`: how many characters are read for the row's whole request."""
        n_characters = characters_read(example, in_pairs=self._in_pairs)
        is_long = max(n_characters, of_request) > self._long_row
        return await (self._long if is_long else self._short).ask(example, n_characters)


class _Queue(Generic[T]):
    """Rows that wait, and the one worker that predicts them batch by batch."""

    def __init__(
        self,
        predict: Callable[[Sequence[Example]], Awaitable[Sequence[T]]],
        most: int,
        most_characters: int,
        wait_s: float,
    ) -> None:
        self._predict, self._most, self._most_characters, self._wait_s = predict, most, most_characters, wait_s
        self._waiting: deque[tuple[Example, int, asyncio.Future[T]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, example: Example, n_characters: int) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((example, n_characters, answer))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            await asyncio.sleep(self._wait_s)
            while self._waiting:
                await self._answer(self._next_batch())
        finally:
            self._worker = None

    def _next_batch(self) -> list[tuple[Example, "asyncio.Future[T]"]]:
        """The rows that wait longest, within the limits; one row at least."""
        batch: list[tuple[Example, asyncio.Future[T]]] = []
        n_characters = 0
        while self._waiting and len(batch) < self._most:
            example, own_characters, answer = self._waiting[0]
            if batch and n_characters + own_characters > self._most_characters:
                break
            self._waiting.popleft()
            if not answer.done():  # one that is done already was cancelled: its client has gone
                batch.append((example, answer))
                n_characters += own_characters
        return batch

    async def _answer(self, batch: Sequence[tuple[Example, "asyncio.Future[T]"]]) -> None:
        if not batch:
            return
        try:
            answers = await self._predict([example for example, _ in batch])
            if len(answers) != len(batch):
                raise ValueError(f"{len(answers)} answers to {len(batch)} rows")
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # what a library in Rust panics with is no Exception
            if len(batch) == 1:
                _fail(batch[0][1], error)
                return
            for row in batch:  # the rows are asked again one by one: only the row that breaks the model is to fail
                await self._answer([row])
            return
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)


def _fail(waiting: "asyncio.Future[T]", error: BaseException) -> None:
    if not waiting.done():
        is_plain = isinstance(error, Exception)
        waiting.set_exception(error if is_plain else RuntimeError(f"{type(error).__name__}: {error}"))

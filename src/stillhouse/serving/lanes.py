"""A served model's lane: how a row becomes an answer, by what kind of model it is.

- a student: rows of the same moment share one batch;
- a generative student: the same, by `generate`, which knows the tokens;
- a cascade: its student's rows share batches, and each row then goes its own way, so that a kept row never waits for another's teacher;
- any other Predictor (a prompted model): each row by itself, as its time is spent waiting for a network.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from stillhouse.llm.scripted import CHARACTERS_PER_TOKEN
from stillhouse.records import Example, Prediction, Predictor, Usage
from stillhouse.serving.batching import Batcher
from stillhouse.serving.cascade import CascadePredictor
from stillhouse.student.artifact import Student
from stillhouse.task import Task


class GeneratedText(Protocol):
    """One answer with its tokens; `ended` False: cut at the student's own limit."""

    @property
    def text(self) -> str: ...
    @property
    def tokens(self) -> Sequence[str]: ...
    @property
    def token_logprobs(self) -> Sequence[float]: ...
    @property
    def confidence(self) -> float: ...
    @property
    def n_input(self) -> int: ...
    @property
    def ended(self) -> bool: ...


@runtime_checkable
class Generates(Protocol):
    """A student that writes its answer token by token."""

    async def generate(self, inputs: Sequence[Example]) -> Sequence[GeneratedText]: ...


@runtime_checkable
class CountsTokens(Protocol):
    def count_tokens(self, text: str) -> int: ...


@dataclass(frozen=True)
class Answer:
    """What goes back to whoever asked. `text` None: no answer, and `error` says why. `ended` False: cut at a limit."""

    text: str | None
    error: str | None = None
    source: str | None = None
    confidence: float | None = None
    cost_usd: float | None = None
    scores: Mapping[str, float] | None = None
    tokens: tuple[tuple[str, float], ...] | None = None  # (token, log-probability)
    ended: bool = True
    usage: Usage | None = None


class OverloadedError(Exception):
    """As many requests are waiting as this lane takes."""


class Lane:
    """One served model. `most_waiting` requests may be under way at once; the next is refused with OverloadedError."""

    def __init__(
        self, name: str, predictor: Predictor, *, most_waiting: int, most_per_batch: int, wait_s: float
    ) -> None:
        self.name, self.predictor = name, predictor
        task = getattr(predictor, "task", None)
        self.task: Task | None = task if isinstance(task, Task) else None
        student = predictor.student if isinstance(predictor, CascadePredictor) else predictor
        labels = getattr(student, "labels", None)
        self.labels: tuple[str, ...] | None = labels if labels is not None or self.task is None else self.task.labels
        # Names of the input's fields where the student learned from rows with fields; () where its inputs were plain texts; None: not known.
        self.input_fields: tuple[str, ...] | None = getattr(student, "input_fields", None)
        self._student, self._most_waiting, self._under_way = student, most_waiting, 0
        self._ask = _way(predictor, most_per_batch, wait_s)

    @property
    def generates(self) -> bool:
        return isinstance(self._student, Generates)

    @property
    def needs_choices(self) -> bool:
        """A student that picks among each row's own choices has no answer without them."""
        return isinstance(self._student, Student) and self._student.task.output == "choice" and self.labels is None

    async def answer(self, example: Example) -> Answer:
        """Raises OverloadedError."""
        if self._under_way >= self._most_waiting:
            raise OverloadedError
        self._under_way += 1
        try:
            answer = await self._ask(example)
        finally:
            self._under_way -= 1
        return replace(answer, usage=self._usage(example, answer))

    async def drain(self) -> None:
        """Wait for what goes on after the answers were given."""
        if isinstance(self.predictor, CascadePredictor):
            await self.predictor.drain()

    def _usage(self, example: Example, answer: Answer) -> Usage:
        """The model's own counts; where it has none, its tokenizer's, or an estimate from the text's length. A class counts as one token."""
        known = answer.usage or Usage()
        if known.input_tokens is not None and known.output_tokens:
            return known
        counted = isinstance(self._student, CountsTokens) and answer.source != "teacher"
        n_input = known.input_tokens if known.input_tokens is not None else self._count(example.text, counted)
        n_output = 1 if answer.scores is not None else known.output_tokens or self._count(answer.text or "", counted)
        return replace(
            known,
            input_tokens=n_input,
            output_tokens=n_output,
            estimated=known.estimated or (known.input_tokens is None and not counted),
        )

    def _count(self, text: str, counted: bool) -> int:
        if counted and isinstance(self._student, CountsTokens):
            return self._student.count_tokens(text)
        return -(-len(text) // CHARACTERS_PER_TOKEN)


def _way(predictor: Predictor, most: int, wait_s: float) -> Callable[[Example], Awaitable[Answer]]:
    if isinstance(predictor, CascadePredictor):
        cascade, firsts = predictor, Batcher(predictor.student.predict, most=most, wait_s=wait_s)

        async def settled(example: Example) -> Answer:
            (prediction,) = await cascade.settle([example], [await firsts.ask(example)])
            return _answer(prediction)

        return settled
    if isinstance(predictor, Generates):
        written = Batcher(predictor.generate, most=most, wait_s=wait_s)
        labels: tuple[str, ...] | None = getattr(predictor, "labels", None)

        async def generated(example: Example) -> Answer:
            return _generated(await written.ask(example), example.choices or labels)

        return generated
    if isinstance(predictor, Student):
        rows = Batcher(predictor.predict, most=most, wait_s=wait_s)

        async def predicted(example: Example) -> Answer:
            return _answer(await rows.ask(example))

        return predicted

    async def alone(example: Example) -> Answer:
        (prediction,) = await predictor.predict([example])
        return _answer(prediction)

    return alone


def _answer(prediction: Prediction) -> Answer:
    return Answer(
        prediction.output,
        error=prediction.error,
        source=prediction.source,
        confidence=prediction.confidence,
        cost_usd=prediction.cost_usd,
        scores=prediction.scores,
        usage=prediction.usage,
    )


def _generated(written: GeneratedText, allowed: Sequence[str] | None) -> Answer:
    usage = Usage(written.n_input, len(written.tokens) + 1)  # the end is a token too
    if allowed is not None and written.text not in allowed:
        return Answer(None, error="the answer is none of the choices", confidence=written.confidence, usage=usage)
    tokens = tuple(zip(written.tokens, written.token_logprobs, strict=True))
    return Answer(written.text, confidence=written.confidence, tokens=tokens, ended=written.ended, usage=usage)

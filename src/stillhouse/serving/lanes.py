"""A served model's lane: what is known of its inputs, and how a row becomes an answer. It depends on the kind of model.

- A student: rows that come at the same moment share a batch.
- A generative student: the same, by its `generate`, which also gives the tokens.
- A cascade: its student's rows share batches. A row that the student keeps does not wait for the teacher of another.
- Any other Predictor, such as a prompted model: each row is a call of its own, which mostly waits for the network.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from stillhouse.llm.scripted import CHARACTERS_PER_TOKEN
from stillhouse.records import Example, Prediction, Predictor, Usage
from stillhouse.serving.app_prompt import AppPrompt, Turn
from stillhouse.serving.batching import Batcher
from stillhouse.serving.bounds import MOST_CHARACTERS, MOST_CHARACTERS_WAITING, characters_read
from stillhouse.serving.cascade import CascadePredictor
from stillhouse.student.artifact import Student
from stillhouse.student.likeness import Likeness
from stillhouse.task import Task

_log = logging.getLogger(__name__)


class GeneratedText(Protocol):
    """One answer with its tokens. `ended` False: cut at the student's own limit."""

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


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What goes back to the client. `text` None: no answer, and `error` says why. `ended` False: cut at a limit."""

    text: str | None
    error: str | None = None
    source: str | None = None
    confidence: float | None = None
    cost_usd: float | None = None
    scores: Mapping[str, float] | None = None
    tokens: tuple[tuple[str, float], ...] | None = None  # (token, log-probability) for each token of the answer
    ended: bool = True
    usage: Usage | None = None
    is_input_cut: bool = False  # the student read a part of the input alone, for it has more tokens than are read
    is_unstored: bool = False  # the teacher was paid for it, and its store could not keep it
    is_unlike: bool = False  # the input is unlike those that the student learned from


@dataclass
class Inputs:
    """How many inputs a lane was asked about, and how they came."""

    asked: int = 0
    taken_out: int = 0  # of a prompt: the instruction, examples or a label were around them
    unlike_training: int = 0
    passed_on: int = 0  # of these, to a cascade's teacher, as they came


INPUTS_COUNTED = {  # the names of these counts, and what a monitor is told of them
    "asked": "Inputs that a model was asked about.",
    "taken_out": "Inputs that were taken out of an app's prompt.",
    "unlike_training": "Inputs unlike those that the student learned from.",
    "passed_on": "Of these, those that a cascade's teacher was asked as they came.",
}


class OverloadedError(Exception):
    """As many requests are under way as this lane takes."""


class Lane:
    """One served model. `most_waiting` rows may be under way at once; the next is refused with OverloadedError.

    So is a row that would make them too many characters together.
    """

    def __init__(
        self,
        name: str,
        predictor: Predictor,
        *,
        most_waiting: int,
        most_per_batch: int,
        wait_s: float,
        shots: Sequence[Example] = (),
    ) -> None:
        self.name, self.predictor = name, predictor
        task = getattr(predictor, "task", None)
        self.task: Task | None = task if isinstance(task, Task) else None
        student = predictor.student if isinstance(predictor, CascadePredictor) else predictor
        labels = getattr(student, "labels", None)
        self.labels: tuple[str, ...] | None = labels if labels is not None or self.task is None else self.task.labels
        # The names of the input's fields; () where the student learned from plain texts, None where it is not known.
        self.input_fields: tuple[str, ...] | None = getattr(student, "input_fields", None)
        # A prompted model reads what its endpoint takes: only the body's size bounds its input.
        self.most_characters = MOST_CHARACTERS if isinstance(student, Student | Generates) else None
        self._student, self._most_waiting, self._under_way, self._characters = student, most_waiting, 0, 0
        self.inputs = Inputs()
        found = getattr(student, "likeness", None)
        self.likeness: Likeness | None = found if isinstance(found, Likeness) else None
        self.prompt: AppPrompt | None = None
        if self.task is not None:
            self.prompt = AppPrompt(
                self.task,
                labels=self.labels,
                fields=self.input_fields,
                shots=shots,
                worn=None if self.likeness is None else self.likeness.worn,
            )
        self._ask = _way_to_ask(predictor, most_per_batch, wait_s, in_pairs=self.reads_pairs)

    @property
    def generates(self) -> bool:
        return isinstance(self._student, Generates)

    @property
    def n_unstored(self) -> int:
        """Answers that were paid for and given, and not kept, since the store last kept one."""
        return self.predictor.n_unstored if isinstance(self.predictor, CascadePredictor) else 0

    @property
    def needs_choices(self) -> bool:
        """Whether this is a student that picks among each row's own choices: without them it has no answer."""
        return isinstance(self._student, Student) and self._student.task.output == "choice" and self.labels is None

    @property
    def reads_pairs(self) -> bool:
        """Whether the student reads the input once per choice."""
        return self.needs_choices and not self.generates

    def note(self, taken: frozenset[str], unlike: str | None) -> None:
        """Count an input and how it came. The first that is unlike the training inputs is logged, unquoted."""
        self.inputs.asked += 1
        self.inputs.taken_out += bool(taken)
        if unlike is None:
            return
        self.inputs.unlike_training += 1
        if self.inputs.unlike_training == 1:
            where = "it goes to the teacher" if isinstance(self.predictor, CascadePredictor) else "it is answered"
            _log.warning(
                "%s: an input is unlike the training inputs (%s); %s, and /health counts those that follow",
                *(self.name, unlike, where),
            )

    async def pass_on(self, example: Example, came: Sequence[Turn] | None) -> Answer:
        """Of a cascade, the teacher's answer to what its student does not know; of any other model its own answer.

        The teacher gets the messages as they came, where they say themselves what is wanted.
        """
        if not isinstance(self.predictor, CascadePredictor):
            return replace(await self.answer(example), is_unlike=True)
        self.inputs.passed_on += 1
        cascade, messages = self.predictor, None if came is None else [turn.as_message() for turn in came]

        async def teacher(row: Example, _: int) -> Answer:
            return _answer(await cascade.pass_on(row, messages))

        return replace(await self._answered(teacher, example, 0), is_unlike=True)

    async def answer(self, example: Example, of_request: int = 0) -> Answer:
        """Raises OverloadedError. `of_request`: how many characters are read for the row's whole request."""
        return await self._answered(self._ask, example, of_request)

    async def _answered(
        self, ask: Callable[[Example, int], Awaitable[Answer]], example: Example, of_request: int
    ) -> Answer:
        n_characters = characters_read(example, in_pairs=False)
        too_much = self._under_way > 0 and self._characters + n_characters > MOST_CHARACTERS_WAITING
        if too_much or self._under_way >= self._most_waiting:
            raise OverloadedError
        self._under_way, self._characters = self._under_way + 1, self._characters + n_characters
        try:
            answer = await ask(example, of_request)
        finally:
            self._under_way, self._characters = self._under_way - 1, self._characters - n_characters
        return replace(answer, usage=self._usage(example, answer))

    async def answer_all(self, examples: Sequence[Example]) -> list[Answer]:
        """One answer per row, in order; a row that is given twice is asked once.

        Raises OverloadedError before anything is asked where they are more than may be under way. Where one row
        fails, the others are given up.
        """
        different = {example.id: example for example in examples}
        if self._under_way + len(different) > self._most_waiting:
            raise OverloadedError
        of_request = sum(characters_read(row, in_pairs=self.reads_pairs) for row in different.values())
        tasks = {id_: asyncio.create_task(self.answer(example, of_request)) for id_, example in different.items()}
        try:
            await asyncio.gather(*tasks.values())
        finally:
            for task in tasks.values():
                task.cancel()
        return [tasks[example.id].result() for example in examples]

    async def drain(self, within_s: float) -> int:
        """Wait for what goes on after the answers were given, a cascade's audits, and give up what is not over then.

        Returns how many were given up.
        """
        return await self.predictor.drain(within_s) if isinstance(self.predictor, CascadePredictor) else 0

    def _usage(self, example: Example, answer: Answer) -> Usage:
        """The model's own counts; else its tokenizer's; else an estimate from the text's length.

        A class counts as one token.
        """
        own = answer.usage or Usage()
        if own.input_tokens is not None and own.output_tokens:
            return own
        tokenizer = self._student if isinstance(self._student, CountsTokens) and answer.source != "teacher" else None

        def count(text: str) -> int:
            return -(-len(text) // CHARACTERS_PER_TOKEN) if tokenizer is None else tokenizer.count_tokens(text)

        return replace(
            own,
            input_tokens=count(example.text) if own.input_tokens is None else own.input_tokens,
            output_tokens=1 if answer.scores is not None else own.output_tokens or count(answer.text or ""),
            estimated=own.estimated or (own.input_tokens is None and tokenizer is None),
        )


def _way_to_ask(
    predictor: Predictor, most: int, wait_s: float, *, in_pairs: bool
) -> Callable[[Example, int], Awaitable[Answer]]:
    """How a row is put to a model of this kind; see the module's docstring. The number is `Lane.answer`'s."""
    if isinstance(predictor, CascadePredictor):
        cascade = predictor
        student_rows = Batcher(predictor.student.predict, most=most, wait_s=wait_s, in_pairs=in_pairs)

        async def settled(example: Example, of_request: int) -> Answer:
            (prediction,) = await cascade.settle([example], [await student_rows.ask(example, of_request)])
            return _answer(prediction)

        return settled
    if isinstance(predictor, Generates):
        questions = Batcher(predictor.generate, most=most, wait_s=wait_s)
        labels: tuple[str, ...] | None = getattr(predictor, "labels", None)

        async def generated(example: Example, of_request: int) -> Answer:
            return _generated_answer(await questions.ask(example, of_request), example.choices or labels)

        return generated
    if isinstance(predictor, Student):
        rows = Batcher(predictor.predict, most=most, wait_s=wait_s, in_pairs=in_pairs)

        async def predicted(example: Example, of_request: int) -> Answer:
            return _answer(await rows.ask(example, of_request))

        return predicted

    async def alone(example: Example, _: int) -> Answer:
        (prediction,) = await predictor.predict([example])
        return _answer(prediction)

    return alone


def _answer(prediction: Prediction) -> Answer:
    return Answer(
        text=prediction.output,
        error=prediction.error,
        source=prediction.source,
        confidence=prediction.confidence,
        cost_usd=0.0 if prediction.is_stored else prediction.cost_usd,
        scores=prediction.scores,
        usage=prediction.usage,
        is_input_cut=prediction.is_input_cut,
        is_unstored=prediction.is_unstored,
    )


def _generated_answer(generated: GeneratedText, allowed: Sequence[str] | None) -> Answer:
    usage = Usage(generated.n_input, len(generated.tokens) + 1)  # the end is a token too
    is_cut = getattr(generated, "is_input_cut", False)  # students of others may not say it
    answer = Answer(text=None, confidence=generated.confidence, usage=usage, is_input_cut=is_cut)
    if allowed is not None and generated.text not in allowed:
        return replace(answer, error="the answer is none of the choices")
    tokens = tuple(zip(generated.tokens, generated.token_logprobs, strict=True))
    return replace(answer, text=generated.text, tokens=tokens, ended=generated.ended)

"""A task as a prompt, and a model behind that prompt as a Predictor; `parsing` reads its replies.

The instruction and the answer's form go into the system message. The last user message is the input alone, with a row's
own choices below it, so that a student behind the same API finds its input in the app's unchanged prompt. Rationales
follow Hsieh et al. 2023 (2305.02301) section 3.1: few-shot chain of thought, the answer after the reasoning.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from stillhouse.errors import TaskFileError
from stillhouse.llm.bulk import Bulk
from stillhouse.llm.parsing import ANSWER, ParsedReply, answer_pattern, wants_object
from stillhouse.llm.request import Completion, Model, Request
from stillhouse.llm.row_asker import RowAsker, variants
from stillhouse.llm.worked import shown_answer
from stillhouse.records import Example, Prediction, Progress
from stillhouse.task import Task

TOP_LOGPROBS = 20  # the most top_logprobs that the API gives
_LOOKED_UP = 100  # rows whose answers are looked for in the store at once
CHOICES = "\n\nChoices:\n"
Answered = tuple[Prediction, ParsedReply, Completion]


def new_cost_usd(completion: Completion) -> float | None:
    """What this call added to the bill: nothing where the store had the answer or none came; None: it is not known."""
    return 0.0 if completion.from_store or not completion.was_paid else completion.cost_usd


def added_usd(total_usd: float | None, more_usd: float | None) -> float | None:
    """The sum; None where a part of it is not known."""
    return None if total_usd is None or more_usd is None else total_usd + more_usd


def build_messages(
    task: Task, example: Example, shots: Sequence[Example] = (), *, rationales: bool = False
) -> tuple[dict[str, str], ...]:
    """System message, worked examples as turns, and the input as the last user message."""
    return (*beginning(task, shots, rationales=rationales), {"role": "user", "content": _question(example)})


def beginning(task: Task, shots: Sequence[Example] = (), *, rationales: bool = False) -> tuple[dict[str, str], ...]:
    """The part of the prompt that all inputs share."""
    messages = [{"role": "system", "content": f"{task.instruction.strip()}\n\n{_form(task, rationales)}"}]
    for shot in shots:
        messages += [
            {"role": "user", "content": _question(shot)},
            {"role": "assistant", "content": _worked(task, shot, shown_answer(task, shot), rationales)},
        ]
    return tuple(messages)


def input_of(content: str) -> str:
    """The input in a user message that `build_messages` made: the text above the row's choices."""
    return content.rpartition(CHOICES)[0] or content


def _form(task: Task, rationales: bool) -> str:
    """How the answer is to look."""
    if task.output == "choice":
        form = f"one of: {', '.join(task.labels)}" if task.labels else "one of the choices, word for word"
    else:
        form = "one JSON value" if task.output == "json" else "the answer alone"
    if task.schema is not None:
        form += f" that fits this schema: {json.dumps(task.schema, ensure_ascii=False)}"
    if wants_object(task, rationales):
        reasons = '"rationale": your reasoning in one to three sentences, ' if rationales else ""
        return f'Answer with one JSON object, {{{reasons}"answer": X}}, and nothing else, where X is {form}.'
    if rationales:
        return f'First give your reasoning in one to three sentences, then end with "{ANSWER} X." where X is {form}.'
    return f"Answer with {form}{', and nothing else' if task.output != 'text' else ''}."


def reply_schema(task: Task, example: Example, *, rationales: bool) -> dict[str, Any] | None:
    """The JSON schema of a reply, for endpoints that keep to one.

    None where the task asks for none, and where there can be none: the root of such a schema has to be an object.
    """
    if not task.teacher.structured:
        return None
    if not wants_object(task, rationales):
        return dict(task.schema) if task.schema is not None and task.schema.get("type") == "object" else None
    allowed = example.choices or task.labels
    answer: Any = {"type": "string"}
    if task.output == "json":
        if task.schema is None:
            return None  # "any JSON value" is no schema that an endpoint could keep to
        answer = dict(task.schema)
    elif task.output == "choice" and allowed is not None:
        answer = {"type": "string", "enum": list(dict.fromkeys(allowed))}
    properties = {"rationale": {"type": "string"}, "answer": answer} if rationales else {"answer": answer}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _question(example: Example) -> str:
    if example.choices is None:
        return example.text
    return example.text + CHOICES + "\n".join(f"- {choice}" for choice in example.choices)


def _worked(task: Task, shot: Example, answer: str, rationales: bool) -> str:
    reasons = shot.teacher_rationale or shot.extra.get("rationale")
    if not rationales:
        return json.dumps({"answer": answer}, ensure_ascii=False) if wants_object(task, rationales) else answer
    if not isinstance(reasons, str) or not reasons.strip():
        raise TaskFileError(
            f"worked example {shot.id!r} has no `rationale`, and the teacher is asked for rationales; "
            "add it, or set rationales = false"
        )
    if wants_object(task, rationales):
        value = answer if task.output == "json" else json.dumps(answer, ensure_ascii=False)
        return f'{{"rationale": {json.dumps(reasons.strip(), ensure_ascii=False)}, "answer": {value}}}'
    return f"{reasons.strip()} {ANSWER} {answer}."


class PromptedPredictor:
    """A model behind a task's prompt, as a Predictor. `shots` go into every prompt as worked examples."""

    def __init__(
        self, model: Model, task: Task, shots: Sequence[Example] = (), *, rationales: bool | None = None
    ) -> None:
        self.model, self.task, self.shots = model, task, tuple(shots)
        self.rationales = task.teacher.rationales if rationales is None else rationales
        self.name = model.name
        self.stand_in = model.stand_in
        if "" in task.teacher.stop:
            raise TaskFileError("[teacher] stop holds an empty text, at which every reply would end; take it out")
        self._beginning = beginning(task, self.shots, rationales=self.rationales)
        self._parameters: dict[str, Any] = {
            "temperature": task.teacher.temperature,
            "max_tokens": task.teacher.max_tokens,
        }
        if task.teacher.temperature == "default":
            del self._parameters["temperature"]
        if task.teacher.reasoning_effort is not None:
            self._parameters["reasoning_effort"] = task.teacher.reasoning_effort
        if task.teacher.stop:
            self._parameters["stop"] = list(task.teacher.stop)
        if task.teacher.soft_targets:
            self._parameters |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
            if task.output != "choice":
                raise TaskFileError(
                    f"[teacher] soft_targets are probabilities of labels, and {task.name} has "
                    f'output = "{task.output}"; take soft_targets out'
                )
        self._asker = RowAsker(model, task, rationales=self.rationales)
        if self.rationales:
            answer_pattern(task)  # a broken pattern is refused here rather than after the first paid call

    @property
    def prompt(self) -> tuple[dict[str, str], ...]:
        """The messages that all rows share."""
        return self._beginning

    @property
    def parameters(self) -> dict[str, Any]:
        """What is sent beside the messages, with `samples` and `structured` where they are set."""
        settings, parameters = self.task.teacher, dict(self._parameters)
        if settings.samples != 1:
            parameters["samples"] = settings.samples
        if settings.structured:
            parameters["structured"] = settings.structured
        return parameters

    def request(self, example: Example, sample_index: int = 0) -> Request:
        """The call that asks this example. Where the task asks for several samples, the index tells them apart."""
        messages = (*self._beginning, {"role": "user", "content": _question(example)})
        schema = reply_schema(self.task, example, rationales=self.rationales)
        return Request(self.model.name, messages, self._parameters, schema, sample_index)

    def requests(self, example: Example) -> list[Request]:
        """The requests for a row, one per sample."""
        return [self.request(example, index) for index in range(self.task.teacher.samples)]

    def as_taken(self, example: Example) -> list[Request]:
        """The requests for a row, one per sample, without what the endpoint is known to refuse."""
        return [self._asker.as_taken(request) for request in self.requests(example)]

    def stored(self, examples: Sequence[Example]) -> list[bool]:
        """Whether the store has the answer to each of these: to all its samples.

        A sample counts where its full request was answered, or one without what the endpoint refused.
        """
        rows = [
            [[variant.hash for variant in variants(request)] for request in self.requests(example)]
            for example in examples
        ]
        known = self.model.known([hash_ for row in rows for sample in row for hash_ in sample])
        return [all(any(hash_ in known for hash_ in sample) for sample in row) for row in rows]

    async def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        """One prediction per input, in input order; a failed row is a Prediction with its reason.

        Raises TeacherError, BudgetError.
        """
        return [prediction for prediction, _, _ in await self.replies(inputs)]

    async def predict_watched(
        self, inputs: Sequence[Example], on_progress: Callable[[Progress], None]
    ) -> list[Prediction]:
        return [prediction for prediction, _, _ in await self.replies(inputs, on_progress)]

    async def reply_to(self, messages: Sequence[Mapping[str, Any]]) -> Prediction:
        """The model's reply to messages that an app wrote, as it is: nothing is read out of it."""
        parameters = {name: value for name, value in self._parameters.items() if "logprobs" not in name}
        completion = await self.model.complete(Request(self.model.name, tuple(messages), parameters))
        error = completion.error or (None if completion.text else "empty reply")
        return Prediction(
            completion.text if error is None else None,
            usage=completion.usage,
            cost_usd=completion.cost_usd,
            latency_s=completion.latency_s,
            error=error,
            is_stored=completion.from_store,
            is_unstored=completion.is_unstored,
        )

    async def replies(
        self, inputs: Sequence[Example], on_progress: Callable[[Progress], None] | None = None
    ) -> list[Answered]:
        """As `predict`, with how each reply was read and the completion behind it."""
        results: list[Answered | None] = [None] * len(inputs)
        done = 0
        cost_usd: float | None = 0.0

        def take(index: int, _: Example, answered: Answered) -> None:
            nonlocal done, cost_usd
            results[index] = answered
            done, cost_usd = done + 1, added_usd(cost_usd, new_cost_usd(answered[2]))
            if on_progress is not None:
                on_progress(Progress(done, len(inputs), "asking the teacher", cost_usd, unit="rows"))

        await self.each(inputs, take)
        return [row for row in results if row is not None]

    async def each(self, inputs: Iterable[Example], take: Callable[[int, Example, Answered], None]) -> None:
        """Ask every input, and hand each answer to `take` as it comes, with the input and its number.

        No answer is kept here, so there may be any number of rows.
        """
        await Bulk(self.model.in_flight, self._ask).run(
            self._looked_up(inputs), lambda index, row, answered: take(index, row[0], answered)
        )

    def _looked_up(self, inputs: Iterable[Example]) -> Iterator[tuple[Example, list[Request]]]:
        rows = iter(inputs)
        while part := [(example, self.requests(example)) for example in itertools.islice(rows, _LOOKED_UP)]:
            self.model.look_up([request.hash for _, requests in part for request in requests])
            yield from part

    async def _ask(self, row: tuple[Example, list[Request]]) -> Answered:
        example, requests = row
        return await self._asker.row(example, requests)

    async def close(self) -> None:
        await self.model.close()

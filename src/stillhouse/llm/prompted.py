"""A task as a prompt: the messages that ask it, and with the rule that reads the reply (`replies`) a Predictor.

The instruction and the answer's form go into the system message; the last user message is the input alone (with a row's own choices below it), so that
a student behind the same API finds its input in the app's unchanged prompt. Rationales follow Hsieh et al. 2023 (2305.02301) section 3.1: few-shot chain
of thought, the answer after the reasoning.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from stillhouse.errors import StillhouseError, TaskFileError
from stillhouse.llm.asking import Asking
from stillhouse.llm.replies import ANSWER, Reply, answer_pattern, wants_object
from stillhouse.llm.request import Completion, Model, Request
from stillhouse.records import Example, Prediction, Progress
from stillhouse.task import Task

CHOICES = "\n\nChoices:\n"


def build_messages(task: Task, example: Example, shots: Sequence[Example] = (), *, rationales: bool = False) -> tuple[dict[str, str], ...]:
    """System message, worked examples as turns, and the input as the last user message."""
    messages = [{"role": "system", "content": f"{task.instruction.strip()}\n\n{_form(task, rationales)}"}]
    for shot in shots:
        answer = shot.label if shot.label is not None else shot.teacher_label
        if answer is None:
            raise TaskFileError(f"worked example {shot.id!r} has no label; add one")
        messages += [{"role": "user", "content": _question(shot)}, {"role": "assistant", "content": _worked(task, shot, answer, rationales)}]
    messages.append({"role": "user", "content": _question(example)})
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
    """The JSON schema of a reply, for endpoints that keep to one; None where none is asked for, or none can be: its root has to be an object."""
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
        raise TaskFileError(f"worked example {shot.id!r} has no `rationale`, and the teacher is asked for rationales; add it, or set rationales = false")
    if wants_object(task, rationales):
        value = json.loads(answer) if task.output == "json" else answer
        return json.dumps({"rationale": reasons.strip(), "answer": value}, ensure_ascii=False)
    return f"{reasons.strip()} {ANSWER} {answer}."


class PromptedPredictor:
    """A model behind a task's prompt, as a Predictor. `shots` go into every prompt as worked examples."""

    def __init__(self, model: Model, task: Task, shots: Sequence[Example] = (), *, rationales: bool | None = None) -> None:
        self.model, self.task, self.shots = model, task, tuple(shots)
        self.rationales = task.teacher.rationales if rationales is None else rationales
        self.name = model.name
        self.stand_in = model.stand_in
        self._asking = Asking(model, task, rationales=self.rationales)
        if "" in task.teacher.stop:
            raise TaskFileError("[teacher] stop holds an empty text, at which every reply would end; take it out")
        if task.teacher.soft_targets and task.output != "choice":
            raise TaskFileError(f'[teacher] soft_targets are probabilities of labels, and {task.name} has output = "{task.output}"; take soft_targets out')
        if self.rationales:
            answer_pattern(task)  # refused here rather than after the first paid call

    def request(self, example: Example, sample_index: int = 0) -> Request:
        """The call that asks this example; with `samples` in the task there are so many, told apart by their index."""
        settings = self.task.teacher
        parameters: dict[str, Any] = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
        if settings.stop:
            parameters["stop"] = list(settings.stop)
        if settings.soft_targets:
            parameters |= {"logprobs": True, "top_logprobs": 20}
        messages = build_messages(self.task, example, self.shots, rationales=self.rationales)
        return Request(self.model.name, messages, parameters, reply_schema(self.task, example, rationales=self.rationales), sample_index)

    async def predict(self, inputs: Sequence[Example], on_progress: Callable[[Progress], None] | None = None) -> list[Prediction]:
        """One prediction per input, in input order; a failed row is a Prediction with its reason. Raises TeacherError, BudgetError."""
        rows = await self.replies(inputs, on_progress)
        return [prediction for prediction, _, _ in rows]

    async def replies(self, inputs: Sequence[Example], on_progress: Callable[[Progress], None] | None = None) -> list[tuple[Prediction, Reply, Completion]]:
        """As `predict`, with how each reply was read and the completion behind it."""
        results: list[tuple[Prediction, Reply, Completion] | None] = [None] * len(inputs)
        waiting = iter(enumerate(inputs))
        failed: list[StillhouseError] = []
        done, cost_usd = 0, 0.0

        async def work() -> None:
            nonlocal done, cost_usd
            for index, example in waiting:  # workers share one iterator, so a million rows are never a million tasks
                if failed:
                    return
                try:
                    results[index] = await self._one(example)
                except StillhouseError as error:  # no new calls, but those under way are paid for: they are waited for and stored
                    failed.append(error)
                    return
                done += 1
                _, _, completion = results[index] or (None, None, None)
                cost_usd += (completion.cost_usd or 0.0) if completion is not None and not completion.from_store else 0.0
                if on_progress is not None:
                    on_progress(Progress(done, len(inputs), "asking the teacher", cost_usd))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.task.teacher.concurrency, len(inputs))):
                    group.create_task(work())
        except* Exception as errors:
            raise _first(errors) from None
        if failed:
            raise failed[0]
        return [row for row in results if row is not None]

    async def _one(self, example: Example) -> tuple[Prediction, Reply, Completion]:
        requests = [self.request(example, index) for index in range(self.task.teacher.samples)]
        return await self._asking.row(example, requests)

    async def close(self) -> None:
        await self.model.close()


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first real error of a group of workers that all met the same trouble."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error

"""POST /v1/decisions, the API's call for labels with probabilities, answered by students that pick among choices.

A request has one or more questions of type `choice`. Their choices are the student's classes; a student that picks
among each input's own choices takes any. The instructions are not read, because a student knows one task.
"""

from collections.abc import Hashable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stillhouse.records import Example
from stillhouse.serving.bounds import MOST_CHOICES, MOST_MESSAGES, characters_read, check_pairs, check_rows
from stillhouse.serving.cascade import CascadePredictor
from stillhouse.serving.errors import ApiError, Json
from stillhouse.serving.inputs import checked_choices, example_of
from stillhouse.serving.lanes import Answer, Lane
from stillhouse.serving.wire import parse_body, usage_of


class _Lenient(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Part(_Lenient):
    type: str
    text: str | None = None
    data: dict[str, Any] | Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = None


class _Message(_Lenient):
    type: str = "message"
    role: str | None = None
    content: str | Annotated[list[_Part], Field(fail_fast=True)] | None = None


class _Choice(_Lenient):
    value: bool | str
    description: str | None = None


class _Question(_Lenient):
    type: Literal["choice", "predicate", "score"]
    name: str | None = None
    instructions: Any = None
    choices: Annotated[list[_Choice], Field(fail_fast=True, max_length=MOST_CHOICES)] | None = None


class DecisionBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    model: str
    input: str | Annotated[list[_Message], Field(fail_fast=True, max_length=MOST_MESSAGES)]
    questions: Annotated[list[_Question], Field(fail_fast=True)] = Field(min_length=1, max_length=400)
    prompt_cache_key: str | None = None
    prompt_cache_options: Any = None
    safety_identifier: str | None = None


def parse_decision(raw: Any) -> DecisionBody:
    """Raises ApiError (400) that names the parameter."""
    body: DecisionBody = parse_body(DecisionBody, raw)
    return body


def decision_examples(lane: Lane, body: DecisionBody, row_id: str) -> list[Example]:
    """One row per question; questions that are one row to the model share it, so that it is computed once.

    Raises ApiError: 400 where the model has no probabilities for one of them, 413 where they are too much to read.
    """
    if (
        isinstance(lane.predictor, CascadePredictor)
        or lane.generates
        or lane.task is None
        or lane.task.output != "choice"
    ):
        raise ApiError(
            400, f"{lane.name} gives no probabilities of choices; ask it at /v1/chat/completions", param="model"
        )
    content = _content(body.input)
    rows: dict[Hashable, Example] = {}
    examples: list[Example] = []
    n_characters = n_pairs = n_characters_of_pairs = 0
    for number, question in enumerate(body.questions):
        where = f"questions.{number}"
        if question.type != "choice":
            message = f"{where} is a {question.type}; {lane.name} answers choice questions alone"
            raise ApiError(400, message, param=f"{where}.type")
        texts = [_text(choice.value) for choice in question.choices or ()]
        choices = checked_choices(lane, texts, f"{where}.choices")
        same = None if lane.labels is not None else choices  # with labels of its own the model reads no choices
        if same not in rows:
            rows[same] = example_of(lane, f"{row_id}-{number}", content, choices)
            n_characters += characters_read(rows[same], in_pairs=False)
            check_rows(len(body.questions), n_characters)
            if lane.reads_pairs:
                n_pairs += len(choices)
                n_characters_of_pairs += characters_read(rows[same], in_pairs=True)
                check_pairs(lane.name, n_pairs, n_characters_of_pairs)
        examples.append(rows[same])
    return examples


def decision(model: str, body: DecisionBody, answers: list[Answer]) -> Json:
    """The response to a request whose questions have these answers."""
    counts = [usage_of(answer.usage) for answer in answers]
    n_input = sum(count["prompt_tokens"] for count in counts)
    n_output = sum(count["completion_tokens"] for count in counts)
    return {
        "model": model,
        "answers": [_answer(question, answer) for question, answer in zip(body.questions, answers, strict=True)],
        "usage": {
            "input_tokens": n_input,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": n_output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": n_input + n_output,
        },
    }


def _answer(question: _Question, answer: Answer) -> Json:
    if answer.text is None or answer.scores is None:
        return {"type": "refusal", "name": question.name}
    values = {_text(choice.value): choice.value for choice in question.choices or ()}
    return {
        "type": "choice",
        "name": question.name,
        "choice": values[answer.text],
        "confidence": answer.scores[answer.text],
        "probabilities": [{"value": value, "probability": answer.scores[text]} for text, value in values.items()],
    }


def _text(value: bool | str) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _content(request_input: str | list[_Message]) -> str | dict[str, Any]:
    """The student's input: the request's text, or its last message, which must be the user's."""
    content: str | list[_Part] | None
    if isinstance(request_input, str):
        content = request_input
    else:
        last = request_input[-1] if request_input else None
        if last is None or last.type != "message" or last.role != "user":
            message = "the last item of input must be a user's message, which is the model's input"
            raise ApiError(400, message, param="input")
        content = last.content
    if isinstance(content, list):
        if len(content) == 1 and content[0].type == "input_json" and isinstance(content[0].data, dict):
            return content[0].data
        if wrong := [part.type for part in content if part.type != "input_text" or part.text is None]:
            message = f"input holds a part of type {wrong[0]}; a student reads text, or one JSON object alone"
            raise ApiError(400, message, param="input")
        content = "".join(part.text or "" for part in content)
    if content is None or not content.strip():
        raise ApiError(400, "input is empty; put the model's input there", param="input")
    return content

"""POST /v1/decisions, the API's call for labels with probabilities, answered by students that pick among choices.

A request has one or more questions of type `choice`. Their choices are the student's classes; a student that picks
among each input's own choices takes any. The instructions of a question are not read, because a student knows one task;
where the app has put the task's instruction into the input, it is taken out.
"""

from collections.abc import Hashable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stillhouse.records import Example
from stillhouse.serving.app_prompt import Found, Turn
from stillhouse.serving.bounds import MOST_CHOICES, MOST_MESSAGES, characters_read, check_pairs, check_rows
from stillhouse.serving.cascade import CascadePredictor
from stillhouse.serving.errors import ApiError, Json
from stillhouse.serving.inputs import Asked, asked, check_speaker, checked_choices, example_of, input_in
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
    """As `decision_rows`, the rows alone."""
    return [row.row for row in decision_rows(lane, body, row_id)]


def decision_rows(lane: Lane, body: DecisionBody, row_id: str) -> list[Asked]:
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
    content = _content(lane, body.input)
    turns, found, taken_in = _found(lane, content)
    rows: dict[Hashable, Asked] = {}
    examples: list[Asked] = []
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
            row = example_of(lane, f"{row_id}-{number}", taken_in, choices)
            rows[same] = asked(lane, row, turns, found or Found(row.text, frozenset(), False))
            n_characters += characters_read(row, in_pairs=False)
            check_rows(len(body.questions), n_characters)
            if lane.reads_pairs:
                n_pairs += len(choices)
                n_characters_of_pairs += characters_read(row, in_pairs=True)
                check_pairs(lane.name, n_pairs, n_characters_of_pairs)
        examples.append(rows[same])
    return examples


def _found(lane: Lane, content: list[Turn] | dict[str, Any]) -> tuple[list[Turn], Found | None, str | dict[str, Any]]:
    """The messages, what was found in them, and the input."""
    if isinstance(content, dict):
        return [], None, content
    check_speaker(lane, content, "input")
    found = input_in(lane, content, "input")
    return content, found, found.text


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


def _content(lane: Lane, request_input: str | list[_Message]) -> list[Turn] | dict[str, Any]:
    """The request's messages, or the JSON object that is its input."""
    if isinstance(request_input, str):
        if not request_input.strip():
            raise ApiError(400, "input is empty; put the model's input there", param="input")
        return [Turn("user", request_input)]
    if not request_input or any(message.type != "message" for message in request_input):
        message = "the last item of input must be a user's message, which is the model's input"
        raise ApiError(400, message, param="input")
    last = request_input[-1].content
    if isinstance(last, list) and len(last) == 1 and last[0].type == "input_json" and isinstance(last[0].data, dict):
        return last[0].data
    return [Turn(message.role or "user", _text_of(lane, message)) for message in request_input]


def _text_of(lane: Lane, message: _Message) -> str:
    if not isinstance(message.content, list):
        return message.content or ""
    texts = ("input_text", "output_text")
    wrong = next((part.type for part in message.content if part.type not in texts or part.text is None), None)
    if wrong is not None:
        reason = f"input holds a part of type {wrong}; a student reads text, or one JSON object alone"
        raise ApiError(400, reason, param="input")
    parts = [part.text or "" for part in message.content]
    return "".join(parts) if lane.prompt is None else lane.prompt.joined(parts)

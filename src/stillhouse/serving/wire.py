"""The OpenAI API's shapes: chat requests in, completions, chunks and errors out.

They are tested with the `openai` package, version 3.

A parameter that changes what a request means, and that a student cannot honour, is refused with a sentence. A
parameter that only steers a sampler or a bill (temperature, seed, user, ...) is accepted and does nothing: a
student's answer to an input is always the same.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stillhouse.records import Usage
from stillhouse.serving.bounds import MOST_CHOICES, MOST_MESSAGES
from stillhouse.serving.errors import ApiError, Json
from stillhouse.serving.lanes import Answer

LEAST_LOGPROB = -9999.0  # the number that the API itself gives for "as good as impossible"
_MOST_QUOTED = 100  # characters of a name that is not known
B = TypeVar("B", bound=BaseModel)


# Requests


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    type: str
    text: str | None = None


class Message(BaseModel):
    """A message's other keys (name, refusal, ...) say nothing about the input."""

    model_config = ConfigDict(strict=True, frozen=True)
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | Annotated[list[_Part], Field(fail_fast=True)] | None = None


class _StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    include_usage: bool = False


class _ResponseFormat(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    type: str


class ChatBody(_Body):
    """The body of POST /v1/chat/completions. `choices` are ours: the answers allowed for this input alone."""

    model: str
    messages: Annotated[list[Message], Field(fail_fast=True)] = Field(min_length=1, max_length=MOST_MESSAGES)
    choices: Annotated[list[str], Field(fail_fast=True, max_length=MOST_CHOICES)] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: str | Annotated[list[str], Field(fail_fast=True)] | None = None
    response_format: _ResponseFormat | None = None
    # Fields that are refused where a client asks for more than a student can do.
    n: int | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    function_call: Any = None
    modalities: Annotated[list[str], Field(fail_fast=True)] | None = None
    logit_bias: dict[str, Any] | None = None
    audio: Any = None
    moderation: Any = None
    web_search_options: Any = None
    # Fields that are accepted without effect.
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    user: str | None = None
    metadata: Any = None
    store: bool | None = None
    parallel_tool_calls: bool | None = None
    prediction: Any = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Any = None
    prompt_cache_retention: str | None = None
    reasoning_effort: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    verbosity: str | None = None

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def wants_json(self) -> bool:
        return self.response_format is not None and self.response_format.type == "json_object"


def parse_chat(raw: Any) -> ChatBody:
    """Raises ApiError (400) that names the parameter."""
    body = parse_body(ChatBody, raw)
    _refuse(body)
    return body


def parse_body(kind: type[B], raw: Any) -> B:
    """A body of this kind. Raises ApiError (400) with the first thing that is wrong with it."""
    if not isinstance(raw, dict):
        raise ApiError(400, "the request's body must be a JSON object")
    if unknown := next((key for key in raw if key not in kind.model_fields), None):  # before all of them are collected
        param = unknown[:_MOST_QUOTED]
        if not param.isprintable():
            raise ApiError(400, "the body is wrong: a parameter's name holds what is no character; leave it out")
        message = f"the parameter {param} is not known to this server; leave it out"
        raise ApiError(400, message, param=param, code="unknown_parameter")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        param = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "too_long":
            message = f"{param} has more than the {problem['ctx']['max_length']:,} that are taken; send fewer"
            raise ApiError(413, message, param=param, code="array_too_long") from None
        known = {
            "missing": (f"the parameter {param} is missing; give it", "missing_required_parameter"),
            "too_short": (f"{param} is empty; give at least one", "empty_array"),
        }
        what = f"the parameter {param}" if param else "the body"
        other = (f"{what} is wrong: {problem['msg'][:1].lower()}{problem['msg'][1:]}", "invalid_type")
        message, code = known.get(problem["type"], other)
        raise ApiError(400, message, param=param or None, code=code) from None


def _refuse(body: ChatBody) -> None:
    """Raise ApiError for a parameter that changes the request's meaning and cannot be honoured."""
    refused = {
        "n": body.n not in (None, 1),
        "tools": bool(body.tools),
        "tool_choice": body.tool_choice not in (None, "none", "auto"),
        "functions": bool(body.functions),
        "function_call": body.function_call not in (None, "none", "auto"),
        "modalities": body.modalities not in (None, ["text"]),
        "logit_bias": bool(body.logit_bias),
        "audio": body.audio is not None,
        "moderation": body.moderation is not None,
        "web_search_options": body.web_search_options is not None,
    }
    reasons = {
        "n": "a student has one answer to an input; send n = 1",
        "logit_bias": "a student's answers cannot be steered; leave it out",
    }
    for param, is_refused in refused.items():
        if is_refused:
            reason = reasons.get(param, "a student does one task, in text; leave it out")
            raise ApiError(400, f"{param} is not supported: {reason}", param=param, code="unsupported_parameter")
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs needs logprobs = true; set it", param="top_logprobs", code="invalid_value")
    if body.stream_options is not None and not body.stream:
        raise ApiError(400, "stream_options needs stream = true; set it", param="stream_options", code="invalid_value")
    if any(not stop for stop in body.stops) or len(body.stops) > 4:
        raise ApiError(400, "stop must be up to four texts that are not empty", param="stop", code="invalid_value")


# Answers


@dataclass(frozen=True)
class CutAnswer:
    """An answer as the request wants it: cut at the request's stops and at its limit."""

    text: str
    finish_reason: Literal["stop", "length"]
    tokens: tuple[tuple[str, float], ...] | None  # (token, log-probability) for each token of the answer


def cut(answer: Answer, stops: Sequence[str], most_tokens: int | None) -> CutAnswer:
    """Apply `stop` and `max_tokens`. `max_tokens` cuts nothing where the tokens are not known; a class is one token."""
    text, tokens = answer.text or "", answer.tokens
    finish_reason: Literal["stop", "length"] = "stop" if answer.ended else "length"
    ends = [] if tokens is None else _ends(text, tokens)
    if tokens is not None and most_tokens is not None and most_tokens < len(tokens):
        text, tokens, finish_reason = text[: ends[most_tokens - 1]], tokens[:most_tokens], "length"
    stops_at = [at for stop in stops if (at := text.find(stop)) >= 0]
    if stops_at:
        text, finish_reason = text[: min(stops_at)], "stop"
        if tokens is not None:
            tokens = tuple(token for token, end in zip(tokens, ends, strict=False) if end <= len(text))
    return CutAnswer(text, finish_reason, tokens)


def _ends(text: str, tokens: Sequence[tuple[str, float]]) -> list[int]:
    """Where in the text each token ends.

    Each token is searched for, because some tokenizers leave out its space when they decode it alone.
    """
    ends, end = [], 0
    for token, _ in tokens:
        piece = token.strip()
        start = text.find(piece, end)
        end = start + len(piece) if start >= 0 else end
        ends.append(end)
    return ends


def logprobs_of(reply: CutAnswer, scores: Mapping[str, float] | None, top: int) -> Json | None:
    """The answer's `logprobs`; None where no probabilities are known.

    A class is one token, and its alternatives are the other classes. A text has its own tokens.
    """
    if scores is not None and reply.text in scores:
        ranked = sorted(scores.items(), key=lambda item: -item[1])[:top]
        entry = _token(reply.text, _log(scores[reply.text]))
        return {
            "content": [{**entry, "top_logprobs": [_token(label, _log(p)) for label, p in ranked]}],
            "refusal": None,
        }
    if reply.tokens is not None:
        # Decoding is greedy: each token was the likeliest one, and no other's probability is kept.
        entries = [_token(token, logprob) for token, logprob in reply.tokens]
        return {"content": [{**entry, "top_logprobs": [entry] if top else []} for entry in entries], "refusal": None}
    return None


def _log(probability: float) -> float:
    return max(math.log(probability), LEAST_LOGPROB) if probability > 0 else LEAST_LOGPROB


def _token(token: str, logprob: float) -> Json:
    return {
        "token": token,
        "logprob": max(logprob, LEAST_LOGPROB),
        "bytes": list(token.encode("utf-8", errors="replace")),
    }


def usage_of(usage: Usage | None) -> Json:
    """Counts as the API has them. They are of what the student read and wrote: the instruction is not among it."""
    n_input, n_output = (usage.input_tokens or 0, usage.output_tokens or 0) if usage else (0, 0)
    return {"prompt_tokens": n_input, "completion_tokens": n_output, "total_tokens": n_input + n_output}


def completion(
    reply_id: str, created: int, model: str, answer: Answer, reply: CutAnswer, logprobs: Json | None
) -> Json:
    message = {"role": "assistant", "content": reply.text, "refusal": None}
    return {
        "id": reply_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": reply.finish_reason}],
        "usage": usage_of(answer.usage),
        "stillhouse": ours(answer),
    }


def chunks(
    reply_id: str,
    created: int,
    model: str,
    answer: Answer,
    reply: CutAnswer,
    logprobs: Json | None,
    *,
    include_usage: bool,
) -> list[Json]:
    """The events of a stream. The text comes in one piece, so that an error never comes midway."""

    def chunk(choices: list[Json], **more: Any) -> Json:
        head = {"id": reply_id, "object": "chat.completion.chunk", "created": created, "model": model}
        return {**head, "choices": choices, **({"usage": None} if include_usage else {}), **more}

    def choice(delta: Json, finish_reason: str | None = None, logprobs: Json | None = None) -> Json:
        return {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}

    events = [
        chunk([choice({"role": "assistant", "content": "", "refusal": None})]),
        chunk([choice({"content": reply.text}, logprobs=logprobs)]),
        chunk([choice({}, reply.finish_reason)], stillhouse=ours(answer)),
    ]
    return [*events, chunk([], usage=usage_of(answer.usage))] if include_usage else events


def ours(answer: Answer) -> Json:
    """What the API has no place for."""
    estimated = answer.usage.estimated if answer.usage else True
    return {
        "confidence": answer.confidence,
        "source": answer.source,
        "cost_usd": answer.cost_usd,
        "usage_estimated": estimated,
        "input_cut": answer.is_input_cut,
        "unlike_training": answer.is_unlike,
    }


def model_object(name: str, created: int) -> Json:
    return {"id": name, "object": "model", "created": created, "owned_by": "stillhouse"}


def event(data: Json) -> bytes:
    """One server-sent event."""
    return b"data: " + dumps(data).encode() + b"\n\n"


def dumps(data: Any) -> str:
    return json.dumps(data, allow_nan=False)  # as ASCII: an error may quote a broken character of the request

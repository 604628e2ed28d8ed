"""Reading the body of a chat completion into a Completion. Nothing in it is trusted."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stillhouse.llm.content import content_text
from stillhouse.llm.request import Completion, ToolCall, is_unicode
from stillhouse.llm.stream import UNREADABLE
from stillhouse.llm.tool_calls import read_tool_calls
from stillhouse.records import Usage


def read_completion(raw: bytes, latency_s: float | None, clean: Callable[[str], str] = str) -> Completion:
    """A chat completion from the body of a reply with status 200.

    Whatever is no chat completion becomes a Completion whose `error` says what came instead.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):  # a thousand brackets nest deeper than the parser goes
        error = f"reply is not JSON: {clean(raw.decode(errors='replace'))[:80]!r}"
        return Completion(None, error=error, latency_s=latency_s)
    if not isinstance(body, dict):
        return Completion(None, error="reply is not a chat completion", latency_s=latency_s)
    if body.get("error"):
        error = f"reply is an error with status 200: {clean(str(body['error']))[:200]}"
        return Completion(None, error=error, latency_s=latency_s)
    usage = _usage(body.get("usage"))
    try:
        choice = next(choice for choice in body["choices"] if isinstance(choice, dict))
        message, finish = choice["message"], choice.get("finish_reason")
        text, calls = content_text(message.get("content")), read_tool_calls(message, clean)
    except (KeyError, StopIteration, TypeError, AttributeError):
        return Completion(None, error="reply has no choices", usage=usage, latency_s=latency_s)
    unusable: str | None = None
    if not all(map(is_unicode, _texts(text, calls))):  # JSON may hold half of a surrogate pair, which no file can
        text, calls, unusable = None, None, "reply is not valid Unicode"
    elif isinstance(damage := body.get(UNREADABLE), str):
        unusable = clean(damage)[:80]
    elif finish == "content_filter":
        unusable = "stopped by the content filter"
    elif finish == "length":
        unusable = "cut off at max_tokens"
        if not text and usage and usage.reasoning_tokens:
            unusable = "all of max_tokens went into reasoning"
    elif calls is None and (not isinstance(text, str) or not text.strip()):
        unusable = "empty reply"
    return Completion(
        clean(text) if isinstance(text, str) else None,
        error=unusable,
        finish_reason=clean(finish) if isinstance(finish, str) else None,
        usage=usage,
        latency_s=latency_s,
        token_logprobs=_logprobs(choice.get("logprobs")),
        top_logprobs=_top_logprobs(choice.get("logprobs")),
        tool_calls=calls,
    )


def _texts(text: str | None, calls: Sequence[ToolCall] | None) -> list[str]:
    return [text or "", *(call.id + call.name + call.arguments for call in calls or ())]


def _usage(raw: Any) -> Usage | None:
    if not isinstance(raw, dict):
        return None
    count = {name: value for name, value in _counts(raw) if type(value) is int and 0 <= value < 2**53}
    return Usage(
        count.get("prompt_tokens"),
        count.get("completion_tokens"),
        count.get("cached_tokens"),
        count.get("reasoning_tokens"),
        written_input_tokens=count.get("cache_write_tokens"),
    )


def _counts(raw: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The counts of a usage object and of the two objects of details in it."""
    details = (raw.get("prompt_tokens_details"), raw.get("completion_tokens_details"))
    return [pair for part in (*details, raw) if isinstance(part, dict) for pair in part.items()]


def _logprobs(raw: Any) -> tuple[tuple[str, float], ...] | None:
    """(token, log-probability) pairs; None where there are none, or one of them cannot be right."""
    if raw is None:
        return None
    try:
        pairs = tuple((str(token["token"]), float(token["logprob"])) for token in raw["content"])
    except (KeyError, TypeError, ValueError):
        return None
    return pairs if all(_is_logprob(token, value) for token, value in pairs) else None


def _top_logprobs(raw: Any) -> tuple[Mapping[str, float], ...] | None:
    """The likeliest tokens at each place, with their log-probabilities; None as for `_logprobs`."""
    if raw is None:
        return None
    try:
        places = tuple(
            {str(token["token"]): float(token["logprob"]) for token in place["top_logprobs"]}
            for place in raw["content"]
        )
    except (KeyError, TypeError, ValueError):
        return None
    sound = all(_is_logprob(token, value) for place in places for token, value in place.items())
    return places if sound and any(places) else None


def _is_logprob(token: str, value: float) -> bool:
    """Whether a token can have this log-probability; 0 is the most, give or take a rounding."""
    return -1e9 < value <= 1e-6 and is_unicode(token)

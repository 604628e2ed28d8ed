"""Reading a chat completion: what an endpoint sent, as a Completion, or as a Completion that says what came instead. Nothing in it is trusted."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from stillhouse.llm.request import Completion, ToolCall, is_unicode
from stillhouse.records import Usage


def read_completion(raw: bytes, latency_s: float | None, clean: Callable[[str], str] = str) -> Completion:
    """A chat completion from a 200's body. Whatever is not one becomes a Completion whose `error` says what came instead."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):  # a thousand brackets nest deeper than the parser goes
        return Completion(
            None, error=f"reply is not JSON: {clean(raw.decode(errors='replace'))[:80]!r}", latency_s=latency_s
        )
    if not isinstance(body, dict):
        return Completion(None, error="reply is not a chat completion", latency_s=latency_s)
    if body.get("error"):
        return Completion(
            None, error=f"reply is an error with status 200: {clean(str(body['error']))[:200]}", latency_s=latency_s
        )
    usage = _usage(body.get("usage"))
    try:
        choice = body["choices"][0]
        text, finish = choice["message"].get("content"), choice.get("finish_reason")
        calls = _tool_calls(choice["message"].get("tool_calls"), clean)
    except (KeyError, IndexError, TypeError, AttributeError):
        return Completion(None, error="reply has no choices", usage=usage, latency_s=latency_s)
    error = None
    if isinstance(text, str) and not is_unicode(text):  # JSON may hold half of a surrogate pair, which no file can
        text, error = None, "reply is not valid Unicode"
    elif finish == "content_filter":
        error = "stopped by the content filter"
    elif finish == "length":
        error = (
            "cut off at max_tokens"
            if text or not (usage and usage.reasoning_tokens)
            else "all of max_tokens went into reasoning"
        )
    elif calls is None and (not isinstance(text, str) or not text.strip()):
        error = "empty reply"
    return Completion(
        clean(text) if isinstance(text, str) else None,
        error=error,
        finish_reason=clean(finish) if isinstance(finish, str) else None,
        usage=usage,
        latency_s=latency_s,
        token_logprobs=_logprobs(choice.get("logprobs")),
        top_logprobs=_top_logprobs(choice.get("logprobs")),
        tool_calls=calls,
    )


def _tool_calls(raw: Any, clean: Callable[[str], str]) -> tuple[ToolCall, ...] | None:
    if not raw:
        return None
    calls = tuple(
        ToolCall(str(call["id"]), str(call["function"]["name"]), clean(str(call["function"]["arguments"])))
        for call in raw
    )
    return calls if all(is_unicode(call.id + call.name + call.arguments) for call in calls) else None


def _usage(raw: Any) -> Usage | None:
    if not isinstance(raw, dict):
        return None
    count = {
        name: value
        for name, value in _leaves(raw)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    }
    totals = (
        count.get("prompt_tokens"),
        count.get("completion_tokens"),
        count.get("cached_tokens"),
        count.get("reasoning_tokens"),
    )
    return Usage(*totals, written_input_tokens=count.get("cache_write_tokens"))


def _leaves(raw: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The counts and those of the two details objects."""
    details = (raw.get("prompt_tokens_details"), raw.get("completion_tokens_details"))
    return [pair for part in (*details, raw) if isinstance(part, dict) for pair in part.items()]


def _logprobs(raw: Any) -> tuple[tuple[str, float], ...] | None:
    """(token, log-probability) pairs; None where there are none, or one of them is no finite number or no text."""
    if raw is None:
        return None
    try:
        pairs = tuple((str(token["token"]), float(token["logprob"])) for token in raw["content"])
    except (KeyError, TypeError, ValueError):
        return None
    return pairs if all(-1e9 < value <= 1e-6 and is_unicode(token) for token, value in pairs) else None


def _top_logprobs(raw: Any) -> tuple[Mapping[str, float], ...] | None:
    """The likeliest tokens at each place with their log-probabilities; None where there are none, or one of them is no finite number or no text."""
    if raw is None:
        return None
    try:
        places = tuple(
            {str(token["token"]): float(token["logprob"]) for token in place["top_logprobs"]}
            for place in raw["content"]
        )
    except (KeyError, TypeError, ValueError):
        return None
    sound = all(-1e9 < value <= 1e-6 and is_unicode(token) for place in places for token, value in place.items())
    return places if sound and any(places) else None

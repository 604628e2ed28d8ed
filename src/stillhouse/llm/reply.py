"""Reading the body of a chat completion into a Completion. Nothing in it is trusted."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stillhouse.json_text import JsonError, NotJsonError, read_body
from stillhouse.llm.finish import REFUSED, UNUSABLE, finish_word, is_cut_off, reason_of, stopped_early
from stillhouse.llm.message_parts import first_choice, read_parts
from stillhouse.llm.request import Completion, ToolCall, is_unicode
from stillhouse.llm.stream import UNREADABLE
from stillhouse.llm.tool_calls import read_tool_calls
from stillhouse.llm.usage import read_usage, usage_in

_IS_ERROR = re.compile(rb'\s*\{\s*"error"')


def read_completion(raw: bytes, latency_s: float | None, clean: Callable[[str], str] = str) -> Completion:
    """A chat completion from the body of a reply with status 200.

    Whatever is no chat completion becomes a Completion whose `error` says what came instead.
    """
    try:
        body = read_body(raw)
    except NotJsonError:
        error = f"reply is not JSON: {clean(raw.decode(errors='replace'))[:80]!r}"
        return Completion(None, error=error, latency_s=latency_s)
    except JsonError as problem:  # it was paid for, so it is kept, and not bought again with every run
        finish = None if _IS_ERROR.match(raw) else UNUSABLE
        error = f"reply is not JSON that can be used ({problem})"
        return Completion(None, error=error, finish_reason=finish, latency_s=latency_s)
    if not isinstance(body, dict):
        return Completion(None, error="reply is not a chat completion", latency_s=latency_s)
    if body.get("error"):
        error = f"reply is an error with status 200: {clean(str(body['error']))[:200]}"
        return Completion(None, error=error, latency_s=latency_s)
    try:
        choice = first_choice(body["choices"])
        if choice.get("error"):
            error = f"reply is an error with status 200: {clean(str(choice['error']))[:200]}"
            return Completion(None, error=error, usage=read_usage(usage_in(body)), latency_s=latency_s)
        content, finish = read_parts(choice["message"]), finish_word(reason_of(choice))
        calls = read_tool_calls(choice["message"], clean)
    except (KeyError, ValueError, TypeError, AttributeError):
        return Completion(None, error="reply has no choices", usage=read_usage(usage_in(body)), latency_s=latency_s)
    text, thinking = content.text, content.thinking
    usage = read_usage(usage_in(body, choice), answered=bool(text or calls))
    unusable = stopped_early(finish, calls_tools=calls is not None)
    if not all(map(is_unicode, _texts((text, thinking, content.refusal), calls))):
        # JSON may hold half of a surrogate pair, which no file can.
        text, thinking, calls, unusable = None, None, None, "reply is not valid Unicode"
    elif isinstance(damage := body.get(UNREADABLE), str):
        unusable = clean(damage)[:80]
    elif content.refusal is not None:
        text, unusable = text or content.refusal, REFUSED
    elif is_cut_off(finish) and not text and usage and usage.reasoning_tokens:
        unusable = "all of max_tokens went into reasoning"
    elif unusable is None and calls is None and (text is None or not text.strip()):
        unusable = "empty reply"
    return Completion(
        None if text is None else clean(text),
        error=unusable,
        finish_reason=None if finish is None else clean(finish),
        usage=usage,
        latency_s=latency_s,
        token_logprobs=_logprobs(choice.get("logprobs")),
        top_logprobs=_top_logprobs(choice.get("logprobs")),
        tool_calls=calls,
        thinking=None if thinking is None else clean(thinking),
    )


def _texts(texts: Sequence[str | None], calls: Sequence[ToolCall] | None) -> list[str]:
    return [
        *(text for text in texts if text is not None),
        *(call.id + call.name + call.arguments for call in calls or ()),
    ]


def _logprobs(raw: Any) -> tuple[tuple[str, float], ...] | None:
    """(token, log-probability) pairs; None where there are none, or one of them cannot be right."""
    if raw is None:
        return None
    try:
        pairs = tuple((str(token["token"]), float(token["logprob"])) for token in raw["content"])
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
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
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return None
    sound = all(_is_logprob(token, value) for place in places for token, value in place.items())
    return places if sound and any(places) else None


def _is_logprob(token: str, value: float) -> bool:
    """Whether a token can have this log-probability; 0 is the most, give or take a rounding."""
    return -1e9 < value <= 1e-6 and is_unicode(token)

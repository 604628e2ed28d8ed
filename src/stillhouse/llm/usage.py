"""The tokens of a call as the provider counts them, read so that they add up.

Providers differ in what is part of what. OpenAI counts cached tokens within the prompt and reasoning within the
completion; Anthropic counts cached input apart; some servers count reasoning apart, so that only the total tells it.
Counts that cannot be right are read in the dearest way in which they add up, and `Usage.doubt` says what is wrong with
them: a cost that is told too low lets a cap be passed, and a cap that holds too early loses nothing. A count that
cannot be told is None, never 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stillhouse.records import Prediction, Usage

MOST_TOKENS = 10**8  # more than any model reads or writes in one call; such a count is none
_PROMPT = ("prompt_tokens", "input_tokens")
_COMPLETION = ("completion_tokens", "output_tokens")
_CACHED = ("cached_tokens", "cache_read_input_tokens", "prompt_cache_hit_tokens")
_WRITTEN = ("cache_write_tokens", "cache_creation_input_tokens")
_REASONING = ("reasoning_tokens",)
_TOTAL = ("total_tokens",)
_APART = ("cache_read_input_tokens", "cache_creation_input_tokens")  # Anthropic's, beside its `input_tokens`
_DETAILS = (*(f"{name}_details" for name in (*_PROMPT, *_COMPLETION)),)


def read_usage(raw: Any, *, answered: bool = False) -> Usage | None:
    """The counts of a usage object of any of the protocols; None for what is no object.

    `answered`: the reply has a text or calls a tool, so that tokens were used.
    """
    if not isinstance(raw, Mapping):
        return None
    parts = [part for part in (raw, *(raw.get(name) for name in _DETAILS)) if isinstance(part, Mapping)]
    doubts: list[str] = []
    prompt, completion, cached, written, reasoning, total = (
        _count(parts, names, doubts) for names in (_PROMPT, _COMPLETION, _CACHED, _WRITTEN, _REASONING, _TOTAL)
    )
    if prompt is not None and raw.get("prompt_tokens") is None and any(name in raw for name in _APART):
        prompt += (cached or 0) + (written or 0)
    if answered and (prompt == 0 or completion == 0):  # an answer has tokens, and so has what it answers
        total = None if total == (prompt or 0) + (completion or 0) else total
        prompt, completion = prompt or None, completion or None
        doubts.append("no token is counted for an answer")
    return _adding_up(prompt, completion, cached, written, reasoning, total, doubts)


def as_counted(usage: Usage) -> Usage:
    """A usage that was not read here (an earlier version stored it, another library made it), by the same rule."""
    if _adds_up(usage):
        return usage
    doubts = [] if usage.doubt is None else [usage.doubt]
    prompt, completion, cached, written, reasoning = (
        _count([{name: getattr(usage, name)}], (name,), doubts)
        for name in (
            "input_tokens",
            "output_tokens",
            "cached_input_tokens",
            "written_input_tokens",
            "reasoning_tokens",
        )
    )
    whole = _adding_up(prompt, completion, cached, written, reasoning, None, doubts)
    return replace(whole, estimated=usage.estimated, unplaced_tokens=usage.unplaced_tokens)


def _adds_up(usage: Usage) -> bool:
    """Whether every count is one, and no part is more than its whole. Every call is asked this several times."""
    prompt, completion = usage.input_tokens, usage.output_tokens
    cached, written, reasoning = usage.cached_input_tokens, usage.written_input_tokens, usage.reasoning_tokens
    for count in (prompt, completion, cached, written, reasoning):
        if count is not None and not (type(count) is int and 0 <= count <= MOST_TOKENS):
            return False
    return (prompt is None or (cached or 0) + (written or 0) <= prompt) and (
        completion is None or (reasoning or 0) <= completion
    )


def usage_doubts(predictions: Iterable[Prediction]) -> list[str]:
    """What is wrong with the token counts of these answers, once for each answer of which something is."""
    return [each.usage.doubt for each in predictions if each.usage is not None and each.usage.doubt is not None]


def _count(parts: Sequence[Mapping[str, Any]], names: Sequence[str], doubts: list[str]) -> int | None:
    """The first of these that is there; None where none is, or where it is no count."""
    value, name = None, ""
    for name in names:
        for part in parts:
            if (value := part.get(name)) is not None:
                break
        if value is not None:
            break
    if value is None:
        return None
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and 0 <= value <= MOST_TOKENS:
        return value
    doubts.append(f"{name} is no count of tokens")
    return None


def _adding_up(
    prompt: int | None,
    completion: int | None,
    cached: int | None,
    written: int | None,
    reasoning: int | None,
    total: int | None,
    doubts: list[str],
) -> Usage:
    """The dearest usage that these counts can mean; what is wrong with them goes to `doubts`."""
    unplaced = 0
    if total is not None and prompt is None and completion is not None and total >= completion:
        prompt = total - completion
        doubts.append("prompt_tokens are told by total_tokens alone")
    elif total is not None and completion is None and prompt is not None and total >= prompt:
        completion = total - prompt
        doubts.append("completion_tokens are told by total_tokens alone")
    elif total is not None and prompt is None and completion is None:
        doubts.append("total_tokens alone tell neither prompt_tokens nor completion_tokens")
    told, of_prompt = completion or 0, (cached or 0) + (written or 0)
    if prompt is not None and of_prompt > prompt:  # then they were counted beside it: all other readings cost less
        prompt += of_prompt
        doubts.append("more tokens are cached than the prompt has")
    if total is not None and prompt is not None and completion is not None:
        more = total - prompt - completion
        if more > 0:
            completion += more
            unplaced = 0 if more == reasoning else more
            doubts.append("total_tokens are more than prompt_tokens and completion_tokens")
        elif more < 0:
            doubts.append("total_tokens are less than prompt_tokens and completion_tokens")
    if completion is not None and (reasoning or 0) > completion:
        completion = max(completion, told + (reasoning or 0))
        doubts.append("there are more reasoning_tokens than completion_tokens")
    return Usage(
        prompt,
        completion,
        cached,
        reasoning,
        written_input_tokens=written,
        doubt="; ".join(dict.fromkeys(doubts)) or None,
        unplaced_tokens=unplaced,
    )

"""The tokens of a call as the provider counts them, read so that they add up.

Providers differ in what is part of what, and in the names. OpenAI counts cached tokens within the prompt and reasoning
within the completion; Anthropic and Bedrock count cached input apart; Gemini counts thoughts and what tools read apart;
some servers count reasoning apart, so that only the total tells it. Proxies pass all of that through, in any spelling.
Counts that cannot be right are read in the dearest way in which they add up, and `Usage.doubt` says what is wrong with
them: a cost that is told too low lets a cap be passed, and a cap that holds too early loses nothing. A count that
cannot be told is None, never 0.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from stillhouse.records import Prediction, Usage

MOST_TOKENS = 10**8  # more than any model reads or writes in one call; such a count is none
_Kind = Literal[
    "prompt", "input", "tools", "completion", "candidates", "cached", "written", "reasoning", "thoughts", "total"
]
# What a name counts; `promptTokenCount` is read as `prompt_token_count`.
_KINDS: dict[str, _Kind] = {
    **dict.fromkeys(("prompt_tokens", "prompt_token_count", "prompt_eval_count"), "prompt"),
    **dict.fromkeys(("input_tokens", "input_token_count"), "input"),  # beside it, cached input may stand apart
    "tool_use_prompt_token_count": "tools",
    **dict.fromkeys(("completion_tokens", "output_tokens", "output_token_count", "eval_count"), "completion"),
    "candidates_token_count": "candidates",  # Gemini's, without the thoughts
    **dict.fromkeys(
        ("cached_tokens", "prompt_cache_hit_tokens", "cached_content_token_count", "cached_input_tokens"), "cached"
    ),
    "cache_read_input_tokens": "cached",
    **dict.fromkeys(("cache_write_tokens", "cache_creation_tokens"), "written"),
    **dict.fromkeys(("cache_creation_input_tokens", "cache_write_input_tokens"), "written"),
    **dict.fromkeys(("reasoning_tokens", "thinking_tokens"), "reasoning"),
    "thoughts_token_count": "thoughts",
    **dict.fromkeys(("total_tokens", "total_token_count"), "total"),
}
_IN_ORDER: tuple[_Kind, ...] = (
    "cached",
    "reasoning",
    "prompt",
    "input",
    "written",
    "completion",
    "total",
    "candidates",
    "thoughts",
    "tools",
)
# Anthropic's and Bedrock's, beside their `input_tokens`
_APART = ("cache_read_input_tokens", "cache_creation_input_tokens", "cache_write_input_tokens")
_DETAILS = frozenset(f"{side}_tokens_details" for side in ("prompt", "input", "completion", "output"))
_OF_DETAILS = ("cached", "written", "reasoning")
_HOLDERS = ("usage", "usageMetadata", "usage_metadata")
_COUNT = re.compile(r"(\d{1,9})(?:\.0{1,3})?", re.ASCII)


def usage_in(*holders: Any) -> Any:
    """The usage object of the first of these that has one: a body, its choice, a piece of a stream."""
    for holder in holders:
        if isinstance(holder, Mapping):
            for name in _HOLDERS:
                if (value := holder.get(name)) and isinstance(value, Mapping):
                    return value
            if (value := usage_in(holder.get("x_groq"))) is not None:
                return value
    return None


def usage_so_far(before: Any, later: Any) -> Any:
    """The usage of a stream, whose pieces may tell it in parts or again and again: counts never go back to nothing."""
    if not isinstance(before, Mapping) or not isinstance(later, Mapping):
        return later or before
    return {**before, **{name: value for name, value in later.items() if value or not before.get(name)}}


def read_usage(raw: Any, *, answered: bool = False) -> Usage | None:
    """The counts of a usage object of any of the protocols; None for what is no object.

    `answered`: the reply has a text or calls a tool, so that tokens were used.
    """
    if not isinstance(raw, Mapping):
        return None
    doubts: list[str] = []
    counts, n_apart = _counts(raw, doubts)
    cached, reasoning, prompt, input_, written, completion, total, candidates, thoughts, tools = [
        _one(counts[kind], doubts, least=kind == "cached") if kind in counts else None for kind in _IN_ORDER
    ]
    if input_ is not None:
        if prompt is not None and prompt not in (input_, input_ + n_apart):
            doubts.append("prompt_tokens and input_tokens differ")
        prompt = input_ + n_apart if prompt is None else max(prompt, input_)
    if prompt is not None:
        prompt += tools or 0
    if completion is None and candidates is not None:
        completion = candidates + (thoughts or 0)
    reasoning = thoughts if reasoning is None else reasoning
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
        _count(name, getattr(usage, name), doubts)
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


def _counts(raw: Mapping[str, Any], doubts: list[str]) -> tuple[Mapping[_Kind, list[tuple[str, int]]], int]:
    """(the counts of each kind with their names, the tokens that Anthropic's names count apart from the input)."""
    counts: defaultdict[_Kind, list[tuple[str, int]]] = defaultdict(list)
    n_apart = 0
    details: list[Mapping[str, Any]] = []
    for name, value in raw.items():
        plain = _plain(name)
        if isinstance(value, Mapping):
            details += [value] if plain in _DETAILS else []
            # Anthropic's, by how long they are kept; a server may send them without their sum.
            kept = [_count(part, n, doubts) or 0 for part, n in value.items()] if plain == "cache_creation" else []
            if sum(kept):
                counts["written"].append((name, sum(kept)))
                n_apart += 0 if raw.get("cache_creation_input_tokens") else sum(kept)
        elif (kind := _KINDS.get(plain)) is not None and (count := _count(name, value, doubts)) is not None:
            counts[kind].append((name, count))
            n_apart += count if plain in _APART else 0
    for part in details:
        for name, value in part.items():
            kind = _KINDS.get(_plain(name))
            if kind in _OF_DETAILS and (count := _count(name, value, doubts)) is not None:
                counts[kind].append((name, count))
    return counts, n_apart


@functools.lru_cache(maxsize=512)
def _plain(name: str) -> str:
    """A name with underscores, in lower case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:100]).lower()


def _one(told: list[tuple[str, int]], doubts: list[str], *, least: bool) -> int:
    """The count of a kind: where several names differ, the dearest. `least`: the fewer there are, the dearer it is."""
    if len(told) == 1:
        return told[0][1]
    values = [value for _, value in told]
    if min(values) != max(values):
        doubts.append(f"{' and '.join(dict.fromkeys(name for name, _ in told))} differ")
    return min(values) if least else max(values)


def _count(name: str, value: Any, doubts: list[str]) -> int | None:
    """A count, also where a text spells it; None where it is absent, or none."""
    if value is None:
        return None
    if isinstance(value, str) and (spelled := _COUNT.fullmatch(value.strip())) is not None:
        value = int(spelled[1])
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

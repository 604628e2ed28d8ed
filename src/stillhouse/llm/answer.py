"""What of a paid reply is the answer: the one place that every reply passes, from an endpoint, a batch or the store.

The store keeps replies as they came, so a rule that is mended here holds for what was paid for earlier as well.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from stillhouse.llm.end_marks import without_end_marks
from stillhouse.llm.finish import stopped_early
from stillhouse.llm.request import Completion, Request
from stillhouse.llm.thinking import UNENDED, part
from stillhouse.llm.usage import as_counted

Place = TypeVar("Place")


def answer_of(completion: Completion, request: Request) -> Completion:
    """The reply to this request: without thinking and end marks, its counts added up, an error where it is none."""
    calls_tools = bool(completion.tool_calls) and "tools" in request.parameters
    error = completion.error or stopped_early(completion.finish_reason, calls_tools=calls_tools)
    usage = completion.usage if completion.usage is None else as_counted(completion.usage)
    cost_usd = completion.cost_usd
    if cost_usd is not None and cost_usd < 0:  # an earlier version stored it, of counts that do not add up
        cost_usd = None
    if (error, usage, cost_usd) != (completion.error, completion.usage, completion.cost_usd):
        completion = replace(completion, error=error, usage=usage, cost_usd=cost_usd)
    return completion if completion.text is None else _bare(completion, completion.text)


def _bare(completion: Completion, text: str) -> Completion:
    parted = part(text)
    answer = None if parted.answer is None else without_end_marks(parted.answer)
    if answer == text:
        return completion
    thinking = "\n\n".join(filter(None, (completion.thinking, parted.thinking))) or None
    error = completion.error
    if error is None and parted.answer is None:
        error = UNENDED
    elif error is None and answer is not None and not answer.strip() and not completion.tool_calls:
        error = "empty reply"
    logprobs, tops = completion.token_logprobs, completion.top_logprobs
    first = None if logprobs is None or parted.at is None else _token_at(logprobs, parted.at)
    return replace(
        completion,
        text=answer,
        error=error,
        thinking=thinking,
        token_logprobs=_from(logprobs, first),
        top_logprobs=_from(tops, first),
    )


def _token_at(tokens: Sequence[tuple[str, float]], at: int) -> int | None:
    """The number of the token that begins at this place of the text; None: none does."""
    position = 0
    for number, (token, _) in enumerate(tokens):
        if position == at:
            return number
        position += len(token)
    return None


def _from(places: tuple[Place, ...] | None, first: int | None) -> tuple[Place, ...] | None:
    return None if places is None or first is None else places[first:]

"""Why a model stopped, in every provider's words: at its end, or before it.

A reply that did not come to its end is no answer: it is a rejection with its reason, whatever stands in it. The words
of a clean stop are listed, and so are those whose reason is known. A word that is not listed is no clean stop.
"""

import json
from collections.abc import Mapping
from typing import Any

# Compared in lower case: of OpenAI, Anthropic, Gemini, Cohere and TGI. No reason at all is a clean stop as well: some
# servers send none. A stream that breaks off without one is no reply (`stream`).
_CLEAN = frozenset({"stop", "end_turn", "stop_sequence", "complete", "eos_token", "eos", ""})
_TOOLS = frozenset({"tool_calls", "tool_call", "function_call", "tool_use"})
_LENGTH = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"})
_FILTER = frozenset({"content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content"})
_FILTER |= {"spii", "image_safety", "language", "guardrail_intervened"}
_REFUSAL = frozenset({"refusal", "refused"})
REFUSED = "the model refused to answer"
UNUSABLE = "unusable"  # stands for the reason to stop where nothing in a reply can be read


def reason_of(choice: Mapping[str, Any]) -> Any:
    """Why a choice stopped, under either spelling of the name; None: it does not say."""
    reason = choice.get("finish_reason")
    return choice.get("finishReason") if reason is None else reason


def finish_word(raw: Any) -> str | None:
    """The reason to stop, as a word; whatever is none as its JSON, which is no known word."""
    return raw if raw is None or isinstance(raw, str) else json.dumps(raw, default=str)


def is_cut_off(finish_reason: str | None) -> bool:
    """Whether the reply ran out of tokens."""
    return (finish_reason or "").strip().lower() in _LENGTH


def stopped_early(finish_reason: str | None, *, calls_tools: bool) -> str | None:
    """Why the reply is none; None: it came to its end.

    `calls_tools`: tools were sent and the reply calls one. Then that is an end as well.
    """
    word = (finish_reason or "").strip().lower()
    if word in _CLEAN or (word in _TOOLS and calls_tools):
        return None
    if word in _LENGTH:
        return "cut off at max_tokens"
    if word in _FILTER:
        return "stopped by the content filter"
    if word in _REFUSAL:
        return REFUSED
    if word in _TOOLS:
        return "stopped to call a tool, and none was offered"
    return f"stopped before its end ({(finish_reason or '').strip()[:40]!r})"

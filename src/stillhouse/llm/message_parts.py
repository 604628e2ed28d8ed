"""A choice's message in all its forms: a text, a list of parts, null; and what a provider sets apart of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TEXTS = ("text", "output_text")
_THOUGHTS = ("thinking", "reasoning", "reasoning_content")  # a part's type, and the field of a part or of a message
APART = (*_THOUGHTS, "reasoning_details")  # the fields of a message that hold its thinking
_IN_A_PART = ("text", "summary", "content", *_THOUGHTS)
_MOST_PARTS = 1_000  # of a list of thoughts


@dataclass(frozen=True, slots=True)
class MessageParts:
    """`text`: all parts of the answer together; None: there is none. `refusal`: the model's words, where it refused."""

    text: str | None = None
    thinking: str | None = None
    refusal: str | None = None


def place_of(index: Any) -> int | None:
    """The place that an index says, as a number or as its text; None: it says none."""
    if isinstance(index, str) and index.isascii() and index.isdecimal() and len(index) < 10:
        return int(index)
    return index if type(index) is int else None


def first_choice(choices: Any) -> dict[str, Any]:
    """The choice of the lowest index, wherever it stands: we ask for one. Raises ValueError where there is none."""
    return min((choice for choice in choices if isinstance(choice, dict)), key=lambda c: place_of(c.get("index")) or 0)


def read_parts(message: Mapping[str, Any]) -> MessageParts:
    """What stands in a message, whatever its form. A part of a kind that is not known is left out."""
    content = message.get("content")
    if content is None or isinstance(content, str):
        return MessageParts(content, _thought(message), _refusal(message))
    parts = content if isinstance(content, list) else [content]
    texts: list[str] = []
    thoughts = [_thought(message)]
    refusals = [_refusal(message)]
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            kind = part.get("type")
            if kind in _THOUGHTS:
                thoughts.append(_thought(part) or _told(part))
            elif kind == "refusal":
                refusals.append(_refusal(part))
            elif kind in _TEXTS or kind is None:
                texts.append(text if isinstance(text := part.get("text"), str) else "")
    thinking, refusal = ("\n\n".join(filter(None, several)) or None for several in (thoughts, refusals))
    return MessageParts("".join(texts) or None, thinking, refusal)


def _refusal(holder: Mapping[str, Any]) -> str | None:
    value = holder.get("refusal")
    return _text(value) if isinstance(value, str) or not value else json.dumps(value, default=str)


def _thought(holder: Mapping[str, Any]) -> str | None:
    for name in APART:  # mostly there is none
        if (value := holder.get(name)) and (text := _told(value)):
            return text
    return None


def _told(value: Any) -> str | None:
    """A thought in any form: a text, a part with a text, or a list of them."""
    if isinstance(value, list):
        return "\n\n".join(filter(None, map(_told, value[:_MOST_PARTS]))) or None
    if isinstance(value, Mapping):
        return next((text for name in _IN_A_PART if (text := _text(value.get(name)))), None)
    return _text(value)


def thought_piece(value: Any) -> str:
    """A piece of a thought as a stream has it, in any of these forms: nothing is put between two pieces."""
    if isinstance(value, list | tuple):
        return "".join(map(thought_piece, value[:_MOST_PARTS]))
    if isinstance(value, Mapping):
        return next((text for name in _IN_A_PART if (text := thought_piece(value.get(name)))), "")
    return value if isinstance(value, str) else ""


def _text(value: Any) -> str | None:
    """A text that says something; None: there is none."""
    return value if isinstance(value, str) and value.strip() else None

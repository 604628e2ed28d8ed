"""From an app's request to a student's input, which is read back from the prompt that the app already sends.

A student knows one task, so the last user message alone is read: not the instruction, and no worked examples.

- Choices: `choices` in the request's body, or else those below the input, as `llm.prompted.build_messages` writes them.
- A student that learned from rows with fields reads `name: value` lines, or a JSON object with these names.
- A student that learned from plain texts reads the message as it stands, JSON or not.
- A student that does not say which takes a JSON object as fields, and anything else as a text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.json_text import JsonError, read_json
from stillhouse.llm.prompted import CHOICES, input_of
from stillhouse.records import Example
from stillhouse.serving.bounds import (
    MOST_CHOICE_CHARACTERS,
    MOST_DIGITS,
    characters_read,
    check_choices,
    check_input,
    check_pairs,
)
from stillhouse.serving.errors import ApiError
from stillhouse.serving.lanes import Lane
from stillhouse.serving.wire import ChatBody


def chat_example(lane: Lane, body: ChatBody, row_id: str) -> Example:
    """The row that a chat request asks about. Raises ApiError (400)."""
    message = body.messages[-1]
    if message.role != "user":
        reason = f"the last message is the {message.role}'s; it must be the user's, which is the model's input"
        raise ApiError(400, reason, param="messages")
    content = message.content
    if isinstance(content, list):
        if wrong := [part.type for part in content if part.type != "text" or part.text is None]:
            reason = f"messages hold a part of type {wrong[0]}; a student reads text alone"
            raise ApiError(400, reason, param="messages")
        content = "".join(part.text or "" for part in content)
    if content is None or not content.strip():
        raise ApiError(400, "the last message is empty; put the model's input there", param="messages")
    # The choices below an input count as choices: an input at its own limit may have them.
    check_input(lane.name, content, lane.most_characters, beside=MOST_CHOICE_CHARACTERS)
    in_body = None if body.choices is None else checked_choices(lane, body.choices, "choices")
    text, in_message = _split_choices(lane, content)
    return example_of(lane, row_id, text, in_body or in_message)


def example_of(lane: Lane, row_id: str, content: str | Mapping[str, Any], choices: tuple[str, ...] | None) -> Example:
    """A row from an input and its choices. Raises ApiError (400) where this model cannot be asked so."""
    if lane.needs_choices and choices is None:
        how = 'extra_body={"choices": [...]}'
        message = f"{lane.name} picks among each input's own choices; give them, e.g. {how}"
        raise ApiError(400, message, param="choices")
    check_choices(choices or ())
    row = Example(row_id, _fields(lane, content), choices=choices)
    try:
        whole = row.text
    except RecursionError:
        raise ApiError(400, "the input is nested too deeply; send it flatter", param="input") from None
    check_input(lane.name, whole, lane.most_characters)
    if lane.reads_pairs:
        check_pairs(lane.name, len(choices or ()), characters_read(row, in_pairs=True))
    for text in (whole, *(choices or ())):
        try:
            text.encode()
        except UnicodeEncodeError:
            message = "the input holds half of a surrogate pair, which is no character; send valid Unicode"
            raise ApiError(400, message) from None
    return row


def checked_choices(lane: Lane, choices: Sequence[str], param: str) -> tuple[str, ...]:
    """The choices that a request asks with. Raises ApiError (400) where this model cannot be held to them."""
    if len(choices) < 2 or len(set(choices)) != len(choices) or not all(choices):
        raise ApiError(400, "choices must be at least two different texts", param=param)
    if lane.task is not None and lane.task.output != "choice":
        raise ApiError(400, f"{lane.name} answers in its own words and takes no choices; leave them out", param=param)
    if lane.labels is not None and set(choices) != set(lane.labels):
        message = f"{lane.name} always answers one of {', '.join(lane.labels)}; give these choices or none"
        raise ApiError(400, message, param=param)
    return tuple(choices)


def _split_choices(lane: Lane, content: str) -> tuple[str, tuple[str, ...] | None]:
    """(input, choices below it). A text that only looks as if it had choices below it stays whole.

    A prompt that was sent with other line ends, or with a newline after the last choice, is the same prompt.
    """
    for form in dict.fromkeys((content, content.replace("\r\n", "\n"))):
        text = input_of(form)
        listed = form[len(text) + len(CHOICES) :]
        if text == form or lane.task is None or lane.task.output != "choice" or not listed.startswith("- "):
            continue
        choices = tuple(listed.removeprefix("- ").rstrip("\n").split("\n- "))
        if lane.labels is None or set(choices) <= set(lane.labels):
            return text, choices
    return content, None


def _fields(lane: Lane, content: str | Mapping[str, Any]) -> str | Mapping[str, Any]:
    """The input as the student's training rows had it: with fields, or as a text."""
    names = lane.input_fields
    fields = content if isinstance(content, Mapping) else _object(content)
    if names is None:
        return content if fields is None else fields
    if not names:
        if isinstance(content, Mapping):
            raise ApiError(400, f"{lane.name} learned from plain texts; give the input as a text", param="input")
        return content
    if fields is None and isinstance(content, str):
        fields = _lines(content, names)
    if fields is None or set(fields) != set(names):
        form = ", ".join(f"`{name}: ...`" for name in names)
        message = f"{lane.name} reads the fields {', '.join(names)}; give them as lines {form}, or as a JSON object"
        raise ApiError(400, message, param="messages")
    return {name: fields[name] for name in names}


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that the text is, if it is one."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = read_json(text, most=10**MOST_DIGITS)
    except JsonError:
        return None
    return value if isinstance(value, dict) and value else None


def _lines(text: str, names: Sequence[str]) -> dict[str, str] | None:
    """`Example.text` read backwards: a value ends where the next name's line begins.

    One pass over the text. Where a name's line is in it twice, the first one counts.
    """
    starts, end = [], 0
    for number, name in enumerate(names):
        mark = f"{name}: " if number == 0 else f"\n{name}: "
        at = text.find(mark, end)
        if at < 0 or (number == 0 and at > 0):
            return None
        end = at + len(mark)
        starts.append((at, end))
    ends = [*(at for at, _ in starts[1:]), len(text)]
    return {name: text[start:end] for name, (_, start), end in zip(names, starts, ends, strict=True)}

"""From an app's request to a student's input, which is read back from the prompt that the app already sends.

A student knows one task, so the instruction, the worked examples and whatever the app puts around its input are taken
out (`app_prompt`). What is left is the row. Where it is unlike the training inputs, the row says why.

- Choices: `choices` in the request's body, or else those below the input, as `llm.prompted.build_messages` writes them.
- A student that learned from rows with fields reads `name: value` lines, or a JSON object with these names.
- A student that learned from plain texts reads the message as it stands, JSON or not.
- A student that does not say which takes a JSON object as fields, and anything else as a text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.json_text import JsonError, read_json
from stillhouse.llm.prompted import CHOICES, input_of
from stillhouse.records import Example
from stillhouse.serving.app_prompt import Found, Turn, field_at
from stillhouse.serving.bounds import (
    MOST_CHARACTERS_OF_PROMPT,
    MOST_CHOICE_CHARACTERS,
    MOST_DIGITS,
    characters_read,
    check_choices,
    check_input,
    check_pairs,
)
from stillhouse.serving.errors import ApiError
from stillhouse.serving.lanes import Answer, Lane
from stillhouse.serving.wire import ChatBody, Message

NO_INPUT = "no input was found beside the prompt"


@dataclass(frozen=True)
class Asked:
    """A row that a request asks about.

    `taken`: what of a prompt was around the input. `unlike`: why the input is unlike the training inputs; None: it is
    like them, or they are not known. `came`: the messages as the app sent them, where they say themselves what is
    wanted of a model; None: they are the input alone.
    """

    row: Example
    taken: frozenset[str] = frozenset()
    unlike: str | None = None
    came: tuple[Turn, ...] | None = None


def chat_example(lane: Lane, body: ChatBody, row_id: str) -> Example:
    """The row that a chat request asks about. Raises ApiError (400)."""
    return chat_row(lane, body, row_id).row


def chat_row(lane: Lane, body: ChatBody, row_id: str) -> Asked:
    """As `chat_example`, with what was taken out, and whether the input is like those of the training."""
    turns = [Turn(message.role, _text(lane, message)) for message in body.messages]
    check_speaker(lane, turns, "messages")
    found = input_in(lane, turns, "messages")
    # The choices below an input count as choices: an input at its own limit may have them.
    check_input(lane.name, found.text, lane.most_characters, beside=MOST_CHOICE_CHARACTERS)
    in_body = None if body.choices is None else checked_choices(lane, body.choices, "choices")
    text, in_message = _split_choices(lane, found.text)
    row = example_of(lane, row_id, text, in_body or in_message)
    return asked(lane, row, turns, found)


def asked(lane: Lane, row: Example, turns: Sequence[Turn], found: Found) -> Asked:
    """The row, with what is known of the messages that it came in."""
    unlike = found.doubt or (None if lane.likeness is None else lane.likeness.unlike(row.text))
    apart = any(turn.role in ("system", "developer") for turn in turns) or len(turns) > 1
    in_one = unlike is not None and lane.likeness is not None and lane.likeness.holds_a_prompt(row.text)
    return Asked(row, found.taken, unlike, tuple(turns) if found.knows or apart or in_one else None)


async def answer_to(lane: Lane, asked: Asked) -> Answer:
    """The model's answer to a chat's row, which is counted; of a cascade the teacher's, where the input is unlike."""
    lane.note(asked.taken, asked.unlike)
    return await (lane.answer(asked.row) if asked.unlike is None else lane.pass_on(asked.row, asked.came))


def check_speaker(lane: Lane, turns: Sequence[Turn], param: str) -> None:
    """Raises ApiError (400) where the messages do not end with what a model is asked.

    That is the user's message, with whatever instructions follow it, or with the beginning of an answer ("Answer:").
    """
    last = turns[-1]
    asks = any(turn.role == "user" for turn in turns) or (
        lane.prompt is not None and any(lane.prompt.knows(turn.text) for turn in turns)
    )
    label = last.role == "assistant" and lane.prompt is not None and lane.prompt.is_answer_label(last.text)
    if not asks or (last.role not in ("user", "system", "developer") and not label):
        reason = f"the last message is the {last.role}'s; it must be the user's, which is the model's input"
        raise ApiError(400, reason, param=param)


def input_in(lane: Lane, turns: Sequence[Turn], param: str) -> Found:
    """The input in these messages. Raises ApiError (400) where there is no text at all."""
    asks = next((turn for turn in reversed(turns) if turn.role == "user"), turns[-1])
    if not asks.text.strip() and not any(turn.text.strip() for turn in turns if turn.role == "user"):
        raise ApiError(400, "the last message is empty; put the model's input there", param=param)
    if sum(len(turn.text) for turn in turns) > MOST_CHARACTERS_OF_PROMPT:
        return Found(asks.text, frozenset(), False)  # of so much, the user's message is taken as it stands
    found = None if lane.prompt is None else lane.prompt.input_in(turns)
    return found or Found(asks.text, frozenset(), False, doubt=None if lane.prompt is None else NO_INPUT)


def _text(lane: Lane, message: Message) -> str:
    """A message as text."""
    content = message.content
    if not isinstance(content, list):
        return content or ""
    wrong = next((part.type for part in content if part.type != "text" or part.text is None), None)
    if wrong is not None:
        if message.role not in ("user", "system", "developer"):
            return ""
        raise ApiError(400, f"messages hold a part of type {wrong}; a student reads text alone", param="messages")
    parts = [part.text or "" for part in content]
    return "".join(parts) if lane.prompt is None else lane.prompt.joined(parts)


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
        fields = _lines(content, names) or _labelled(content, names)
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


def _labelled(text: str, names: Sequence[str]) -> dict[str, str] | None:
    """As `_lines`, for fields in another order, written in another case or in bold ("**Premise:** ...")."""
    places = {name: field_at(text, name) for name in names}
    if None in places.values():
        return None
    starts = sorted(place for place in places.values() if place is not None)
    if text[: starts[0][0]].strip():
        return None
    ends = dict(zip(starts, [*(start for start, _ in starts[1:]), len(text)], strict=True))
    return {name: text[place[1] : ends[place]].strip() for name, place in places.items() if place is not None}

"""Chats as rows with columns: OpenAI's fine-tuning files have them in `messages`, ShareGPT's in `conversations`.

Of each chat the last user message is a column, the assistant's answer to it another, the system message a third, and
what was said before, where something was, a fourth. A map names them as it names a table's: `messages.user`.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from stillhouse.column_map import ColumnMap
from stillhouse.data.bad_rows import BadRow

_LISTS = ("messages", "conversations", "conversation")
USER, ASSISTANT, SYSTEM, BEFORE = ".user", ".assistant", ".system", ".before"
_ROLES = {  # as files call them
    "system": SYSTEM,
    "developer": SYSTEM,
    "user": USER,
    "human": USER,
    "prompter": USER,
    "assistant": ASSISTANT,
    "gpt": ASSISTANT,
    "model": ASSISTANT,
    "bot": ASSISTANT,
}
_TEXT_PARTS = ("text", "input_text", "output_text")


def chat_column(columns: Collection[str]) -> str | None:
    """The column that was a list of messages; None: there is none."""
    return next((name for name in _LISTS if f"{name}{USER}" in columns), None)


def chat_map(name: str, columns: ColumnMap) -> ColumnMap:
    """The map of a file of chats. What the user maps stays; a list of messages stands for the message that is meant."""
    meant = {"input": f"{name}{USER}", "label": f"{name}{ASSISTANT}"}
    return {**meant, **{field: meant.get(field, named) if named == name else named for field, named in columns.items()}}


def columns_of_chats(columns: Sequence[str]) -> tuple[str, ...]:
    """A table's columns with those that its list of messages gives."""
    name = next((name for name in _LISTS if name in columns), None)
    more = () if name is None else (f"{name}{USER}", f"{name}{ASSISTANT}", f"{name}{SYSTEM}", f"{name}{BEFORE}")
    return (*columns, *more)


def unfolded(row: Mapping[str, Any]) -> Mapping[str, Any] | BadRow:
    """The row with its messages as columns; any other row as it is."""
    for name in _LISTS:
        if name in row and "input" not in row and (turns := _turns(row[name])) is not None:
            try:
                return {**row, **{f"{name}{column}": text for column, text in _columns(name, turns)}}
            except BadRow as problem:
                return problem
    return row


def without_lists(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """An unfolded row without the list itself: nothing of it is in no column."""
    name = chat_column(row)
    return row if name is None else {column: value for column, value in row.items() if column != name}


def _turns(value: Any) -> list[tuple[str, Any, Mapping[str, Any]]] | None:
    """(the role as a column, the content, the message) of each message; None: this is no list of messages."""
    if not isinstance(value, list) or not value:
        return None
    turns = []
    for message in value:
        if not isinstance(message, Mapping):
            return None
        role = message.get("role", message.get("from"))
        if not isinstance(role, str) or not {"content", "value", "tool_calls", "function_call"} & set(message):
            return None
        turns.append((_ROLES.get(role.lower(), ""), message.get("content", message.get("value")), message))
    return turns


def _columns(name: str, turns: list[tuple[str, Any, Mapping[str, Any]]]) -> Iterator[tuple[str, str]]:
    # An assistant's message of weight 0 is not to be learned, so it is a turn like others.
    answers = [at for at, turn in enumerate(turns) if turn[0] == ASSISTANT and turn[2].get("weight", 1) != 0]
    behind = answers[-1] if answers else len(turns)
    users = [at for at, turn in enumerate(turns[:behind]) if turn[0] == USER]
    if not users:
        raise BadRow(f"`{name}` holds no user message{' before the answer' if answers else ''}")
    user = users[-1]
    if any(turn[0] == USER for turn in turns[behind + 1 :]):  # a question that nobody has answered
        user, behind = max(at for at, turn in enumerate(turns) if turn[0] == USER), len(turns)
    if not (text := _text(name, turns[user][1])).strip():
        raise BadRow(f"the last user message of `{name}` is empty")
    yield USER, text
    if behind < len(turns) and (answer := _text(name, turns[behind][1])).strip():
        yield ASSISTANT, answer
    if system := "\n".join(_text(name, content) for role, content, _ in turns if role == SYSTEM):
        yield SYSTEM, system
    before = [
        f"{message.get('role', message.get('from'))}: {_text(name, content)}"
        for role, content, message in turns[:user]
        if role != SYSTEM
    ]
    if before:
        yield BEFORE, "\n".join(before)


def _text(name: str, content: Any) -> str:
    """A message's content as text, where it is a list of parts as well."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str) or (isinstance(part, Mapping) and part.get("type", "text") not in _TEXT_PARTS):
            kind = part.get("type") if isinstance(part, Mapping) else None
            raise BadRow(f"`{name}` holds a part that is no text ({json.dumps(kind or part, default=str)[:40]})")
        texts.append(text)
    return "\n".join(texts)

"""Calls of tools as a reply holds them, whole or in the pieces of a stream.

Providers and proxies differ: an index or id may be absent, null, or the same for all calls; arguments may be an object,
and a name may be told again with every piece. Two calls are never made one, and one never two.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stillhouse.json_text import JsonError, read_json
from stillhouse.llm.message_parts import place_of
from stillhouse.llm.request import ToolCall

_NOTHING = "{}"  # the arguments of a call that has none
_NONE_YET = (_NOTHING, "null")
_MARKS = re.compile(r'[{}\[\]"\\]')


def read_tool_calls(message: dict[str, Any], clean: Callable[[str], str] = str) -> tuple[ToolCall, ...] | None:
    """The calls that a whole message makes, each with an id of its own; None: it makes none."""
    raw = message.get("tool_calls") or message.get("function_call")  # `function_call`: the API's first form
    calls = [_Call.of(entry) for entry in (raw if isinstance(raw, list) else [raw]) if isinstance(entry, dict)]
    return _with_ids([call for call in calls if not call.is_empty], clean)


def _with_ids(calls: Sequence["_Call"], clean: Callable[[str], str]) -> tuple[ToolCall, ...] | None:
    """An id that is missing, or another call's, is made from the call's place: answers are matched by ids."""
    if not calls:
        return None
    given, taken = {call.id for call in calls}, set[str]()
    finished = []
    for place, call in enumerate(calls, start=1):
        id_, number = call.id, place
        while not id_ or id_ in taken or (id_ != call.id and id_ in given):
            id_, number = f"call-{number}", number + len(calls)
        taken.add(id_)
        finished.append(ToolCall(id_, call.name, clean(object_text(call.arguments))))
    return tuple(finished)


def object_text(arguments: str) -> str:
    """Arguments as the text of an object: nothing and null are an empty one, and one encoded twice is opened.

    Whatever else there is stays as it is; the call is refused with the reason, which the model can mend.
    """
    text = arguments.strip()
    if text in ("", "null", "None"):
        return _NOTHING
    if text.startswith('"'):
        try:
            inner = read_json(text)
            if isinstance(inner, str) and isinstance(read_json(inner), dict):
                return inner
        except JsonError:
            pass
    return arguments


@dataclass(slots=True, eq=False)
class _Call:
    """A call, as far as it is known."""

    index: int | None = None
    id: str = ""
    name: str = ""
    arguments: str = ""
    is_typed: bool = False  # whether it says that it is a call, which a piece that goes on does not
    brackets: "_Brackets" = field(default_factory=lambda: _Brackets())

    @classmethod
    def of(cls, piece: dict[str, Any]) -> "_Call":
        function = piece.get("function")
        if not isinstance(function, dict):
            function = piece if function is None else {}
        name = function.get("name")
        return cls(
            place_of(piece.get("index")),
            _id(piece.get("id")),
            name if isinstance(name, str) else "",
            _text(function),
            bool(piece.get("type")),
        )

    @property
    def is_empty(self) -> bool:
        return not (self.name or self.arguments.strip())

    @property
    def is_whole(self) -> bool:
        """Whether the arguments so far are an object that has ended, so that no more of it can follow."""
        return self.brackets.closed(self.arguments) or self.arguments.strip() == "null"

    def takes(self, piece: "_Call", *, beside: bool) -> bool:
        """Whether the piece is a part of this call. `beside`: it stands in one list with this call's last part."""
        if not piece.name:
            # Some endpoints make a new id for each piece: without a name it begins a call only where this one is whole.
            return not (piece.id and self.id and piece.id != self.id and piece.arguments.strip() and self.is_whole)
        if not self.name:
            return True
        if beside or (piece.id and self.id and piece.id != self.id):
            return False
        # A piece of a call that has an id tells the same id again, or none.
        of_this_id = bool(self.id) and piece.id in ("", self.id)
        if piece.name != self.name:
            grows = piece.name.startswith(self.name) and (of_this_id or self.index == piece.index is not None)
            goes_on = of_this_id and not (piece.id or piece.is_typed)
            return not self.arguments and (grows or goes_on)
        if piece.arguments == self.arguments and (self.is_whole or not self.arguments):
            return of_this_id  # all of it is told again, or it is an equal call
        return not (self.is_whole and piece.arguments.strip() and piece.arguments != self.arguments)

    def add(self, piece: "_Call") -> None:
        self.id = self.id or piece.id
        if not piece.name.startswith(self.name):
            self.name += piece.name
        elif piece.name:
            self.name = piece.name  # the name so far is told again
        if self.arguments.strip() in _NONE_YET and piece.arguments.strip():
            self.arguments, self.brackets = "", _Brackets()  # it stood there for arguments to come
        if piece.arguments != self.arguments or not self.is_whole:
            self.arguments += piece.arguments


@dataclass(slots=True)
class _Brackets:
    """Brackets counted in a JSON text that grows; what was read is not read again."""

    read: int = 0
    depth: int = 0
    in_text: bool = False
    skip: int = -1  # the place of a character that a backslash takes its meaning

    def closed(self, text: str) -> bool:
        """Whether the text has opened a bracket and closed all that it opened."""
        for mark in _MARKS.finditer(text, self.read):
            if mark.start() == self.skip:
                continue
            match mark[0]:
                case "\\":
                    self.skip = mark.end()
                case '"':
                    self.in_text = not self.in_text
                case opening if not self.in_text:
                    self.depth += 1 if opening in "{[" else -1
        self.read = len(text)
        ends = ("}", "]", '"') if text.lstrip().startswith('"') else ("}", "]")  # a text: an object encoded twice
        return bool(text) and self.depth <= 0 and not self.in_text and text.rstrip().endswith(ends)


class ToolCallPieces:
    """The calls of a stream, put together from their pieces."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._last: _Call | None = None

    def add(self, pieces: Any) -> None:
        """Take the pieces of one chunk; what is no piece is left out."""
        touched: set[int] = set()  # the ids of the calls that this chunk has parts of
        for raw in pieces if isinstance(pieces, list) else [pieces]:
            if isinstance(raw, dict) and raw:
                piece = _Call.of(raw)
                call = self._part_of(piece)
                if call is not None and call.takes(piece, beside=id(call) in touched):
                    call.add(piece)
                else:
                    call = piece
                    self._calls.append(call)
                self._last = call
                touched.add(id(call))

    def _part_of(self, piece: _Call) -> _Call | None:
        """The call that the piece may belong to: the last with its id or its index, else the last of all."""
        if piece.id and not piece.name:
            for call in reversed(self._calls):
                if call.id == piece.id:
                    return call
        if piece.index is not None:
            return next((call for call in reversed(self._calls) if call.index == piece.index), None)
        return self._last

    def message_part(self) -> dict[str, Any]:
        """The calls as a message holds them."""
        calls = [call for call in self._calls if not call.is_empty]
        if all(call.index is not None for call in calls):
            calls.sort(key=lambda call: call.index or 0)
        if not calls:
            return {}
        functions = [{"name": call.name, "arguments": call.arguments} for call in calls]
        return {
            "tool_calls": [
                {"id": call.id, "type": "function", "function": function}
                for call, function in zip(calls, functions, strict=True)
            ]
        }


def _id(value: Any) -> str:
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) and value.strip() else ""


def _text(function: dict[str, Any]) -> str:
    """The arguments as JSON text; an empty object is none yet, for a stream may begin with one."""
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False) if arguments else ""

"""A streamed chat completion (server-sent events), read.

Its text is told piece by piece. The whole is given back as if it had come in one body. What cannot be read in it never
stops the reading: the tokens are paid for, so the reply is put together, marked and stored.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any

import aiohttp

from stillhouse.json_text import JsonError, read_body
from stillhouse.llm.finish import UNUSABLE, finish_word, reason_of, stopped_early
from stillhouse.llm.message_parts import APART, first_choice, place_of, read_parts, thought_piece
from stillhouse.llm.tool_calls import ToolCallPieces
from stillhouse.llm.transport import TooLong
from stillhouse.llm.usage import usage_in, usage_so_far

_LINE_END = re.compile(rb"\r\n|\n|\r(?=[^\n])")  # a \r at the very end may be half of \r\n
_MARK = b"\xef\xbb\xbf"  # the byte order mark
UNREADABLE = "stillhouse_unreadable"  # the key under which a body says what in its stream could not be read


class BrokenStream(Exception):
    """The stream ended early after some of its text was told."""


class StreamError(Exception):
    """The endpoint sent an error in the place of a reply, before any of its text. `body` is what it sent."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(str(body["error"]))
        self.body = body


def is_stream(raw: bytes) -> bool:
    """Whether a body is one of events, whatever its content type says."""
    start = raw.removeprefix(_MARK).lstrip()[:6].lower()
    return start.startswith((b"data:", b"event:", b":"))


async def read_stream(pieces: AsyncIterable[bytes], heard: Callable[[str], None] | None, max_bytes: int) -> bytes:
    """The body that the endpoint would have sent without streaming, as JSON.

    `heard` is called with each piece of text. Raises TooLong; BrokenStream where the stream ends early after some text
    was told; ClientPayloadError or StreamError where none was: then the request may be sent again.
    """
    whole = _Whole(heard)
    plain: list[bytes] = []  # lines that are no events: an endpoint may answer in one body all the same
    try:
        async for line in _lines(pieces, max_bytes):
            field, colon, value = line.partition(b":")
            name = field.strip().lower()
            if colon and name == b"data":
                if value.strip().upper() == b"[DONE]":
                    whole.ended = True
                    break
                whole.data(value.removeprefix(b" "))
            elif not line:
                whole.end_event()
            elif colon and name == b"event":
                whole.is_error = value.strip().lower() == b"error"
            elif not (line.startswith(b":") or whole.n_chunks):
                plain.append(line)
        whole.end_event()
    except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        if not whole.text:
            raise aiohttp.ClientPayloadError(f"the stream cannot be read: {error}") from None
        raise BrokenStream(str(error) or type(error).__name__) from None
    if not (whole.n_chunks or whole.damaged) and (body := b"\n".join(plain)).lstrip().startswith(b"{"):
        return _in_one_body(body, whole)
    return whole.finished()


async def _lines(pieces: AsyncIterable[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    """The lines of a body that comes in pieces of any size, without their ends."""
    n_bytes, rest, first = 0, [b""], True
    async for piece in pieces:
        n_bytes += len(piece)
        if n_bytes > max_bytes:
            raise TooLong
        if rest[-1].endswith(b"\r"):
            rest[-1], piece = rest[-1][:-1], b"\r" + piece
        # A line is joined once it has ended, so that a long one is not read again with each of its pieces.
        *lines, last = _LINE_END.split(piece)
        for line in lines:
            line, rest = b"".join((*rest, line)), [b""]
            yield line.removeprefix(_MARK) if first else line
            first = False
        rest.append(last)
    if line := b"".join(rest).rstrip(b"\r"):
        yield line.removeprefix(_MARK) if first else line


def _in_one_body(body: bytes, whole: "_Whole") -> bytes:
    """A reply that came as JSON and no stream; its text is told in one piece."""
    # Whoever reads the body says what is wrong with it.
    with contextlib.suppress(JsonError, LookupError, ValueError, TypeError, AttributeError):
        whole.tell(read_parts(first_choice(read_body(body)["choices"])["message"]).text or "")
    return body


class _Whole:
    """What the pieces make together."""

    def __init__(self, heard: Callable[[str], None] | None) -> None:
        self.text, self.ended, self.n_chunks, self.damaged = "", False, 0, False
        self._heard, self._held = heard, ""
        self.is_error = False  # whether the event says that it is an error
        self._event: list[bytes] = []
        self._first_came = False
        self._others: list[dict[str, Any]] = []
        self._finish_reason: Any = None
        self._usage: Any = None
        self._error: dict[str, Any] | None = None
        self._calls = ToolCallPieces()
        self._apart: dict[str, str] = {}
        self._logprobs: list[Any] = []

    def data(self, data: bytes) -> None:
        """One line of data. An event may have several, and some endpoints send no empty line between two events."""
        self._event.append(data)
        try:
            chunk = read_body(b"\n".join(self._event).decode())
        except (JsonError, UnicodeDecodeError):
            return  # the rest of it may be in the next line
        self._event = []
        self._add(chunk)

    def end_event(self) -> None:
        """What was not read by now cannot be. Words that keep a connection alive are no pieces of a reply."""
        rest = b"\n".join(self._event)
        if self.is_error and rest.strip():
            self._error = {"error": rest.decode(errors="replace")}
        elif rest.lstrip()[:1] in (b"{", b"["):
            self.damaged = True
            with contextlib.suppress(JsonError):
                self._add(read_body(rest))  # what is no UTF-8 in it is replaced, and its tokens count
        self._event, self.is_error = [], False

    def _add(self, chunk: Any) -> None:
        if not isinstance(chunk, dict):
            return
        self.n_chunks += 1
        choices = chunk.get("choices")
        told = usage_in(chunk, *(choices if isinstance(choices, list) else ()))
        self._usage = usage_so_far(self._usage, told)
        if chunk.get("error"):
            self._error = chunk
        elif not choices and (self.is_error or "error" in (chunk.get("type"), chunk.get("object"))):
            self._error = {"error": chunk}
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            # We ask for one choice. Others, where an endpoint sends them all the same, are no part of it.
            if place_of(choice.get("index")):
                self._others.append(choice)
            else:
                self._first_came = True
                self._add_choice(choice)

    def _add_others(self) -> None:
        """Some endpoints count from one, or say another index of the only choice: it was paid for, and it is read."""
        others, self._others = self._others, []
        if others and not self._first_came:
            lowest = place_of(first_choice(others)["index"])
            for choice in others:
                if place_of(choice["index"]) == lowest:
                    self._add_choice(choice)

    def _add_choice(self, choice: dict[str, Any]) -> None:
        if choice.get("error"):
            self._error = {"error": choice["error"]}
        delta = choice.get("delta")
        # Some endpoints send the message whole, at the end or instead of pieces.
        message = choice.get("message")
        if isinstance(message, dict) and not (self.text or self._calls.message_part()):
            delta = message
        if isinstance(delta, dict):
            parts = read_parts({"content": delta.get("content")})
            self._refuse(parts.refusal)
            self._refuse(delta.get("refusal"))
            self.tell(parts.text or "")
            if parts.thinking:
                self._apart["reasoning_content"] = self._apart.get("reasoning_content", "") + parts.thinking
            self._calls.add(delta.get("tool_calls") or delta.get("function_call"))
            for name in APART:  # each comes in pieces under its own name: some endpoints tell a thought under two
                if piece := thought_piece(delta.get(name)):
                    self._apart[name] = self._apart.get(name, "") + piece
        if isinstance(logprobs := choice.get("logprobs"), dict) and isinstance(logprobs.get("content"), list):
            self._logprobs += logprobs["content"]
        reason = reason_of(choice)
        # The first reason that is no clean stop stays: endpoints that cut a reply off may close the stream with "stop".
        if reason not in (None, "") and stopped_early(finish_word(self._finish_reason), calls_tools=True) is None:
            self._finish_reason = reason

    def _refuse(self, words: Any) -> None:
        """A refusal, or a piece of one, as a whole message has it under `refusal`."""
        if words:
            words = words if isinstance(words, str) else json.dumps(words, default=str)
            self._apart["refusal"] = self._apart.get("refusal", "") + words

    def tell(self, piece: str) -> None:
        """Add a piece of text and tell it. Half of a surrogate pair waits for its other half."""
        self.text += piece
        piece, self._held = self._held + piece, ""
        if "\ud800" <= piece[-1:] <= "\udbff":
            piece, self._held = piece[:-1], piece[-1]
        if self._heard is not None and piece:
            self._heard(piece.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

    def finished(self) -> bytes:
        self._add_others()
        if self._error is not None:
            if self.text:
                raise BrokenStream(str(self._error["error"]))
            raise StreamError(self._error)
        calls = self._calls.message_part()
        if self.damaged and self.ended and not (self.text or calls or self._finish_reason):
            self._finish_reason = UNUSABLE  # it came to its end: it is paid for, and another try would be another bill
        if not (self.text or calls or self._finish_reason is not None or self._usage):
            raise aiohttp.ClientPayloadError("the stream cannot be read: it ended before its first text")
        if not self.ended and self._finish_reason is None:
            if not self.text:
                raise aiohttp.ClientPayloadError("the stream ended before its first text")
            raise BrokenStream("it ended without saying why")
        message = {"role": "assistant", "content": self.text or None, **self._apart, **calls}
        choice: dict[str, Any] = {"message": message, "finish_reason": self._finish_reason}
        if self._logprobs:
            choice["logprobs"] = {"content": self._logprobs}
        body: dict[str, Any] = {"choices": [choice], "usage": self._usage}
        if self.damaged:
            body[UNREADABLE] = "a piece of the stream cannot be read"
        return json.dumps(body).encode()

"""A streamed chat completion (server-sent events), read.

Its text is told piece by piece. The whole is given back as if it had come in one body.
"""

import asyncio
import json
from collections.abc import AsyncIterable, Callable
from typing import Any

import aiohttp

from stillhouse.json_text import read_body

_BESIDE = ("reasoning_content", "reasoning", "refusal")


class BrokenStream(Exception):
    """The stream ended early after some of its text was told."""


async def read_stream(content: AsyncIterable[bytes], heard: Callable[[str], None] | None, max_bytes: int) -> bytes:
    """The body that the endpoint would have sent without streaming, as JSON.

    `heard` is called with each piece of text. Raises BrokenStream where the stream ends early after some text was told,
    ClientPayloadError where none was: then the request may be sent again.
    """
    whole = _Whole(heard)
    n_bytes, ended = 0, False
    try:
        async for line in content:
            n_bytes += len(line)
            if n_bytes > max_bytes:
                return b"the reply is longer than it may be"
            if line.startswith(b"data:"):
                data = line.removeprefix(b"data:").strip()
                ended = data == b"[DONE]"
                if ended:
                    break
                whole.add(read_body(data))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
        if not whole.text:
            raise aiohttp.ClientPayloadError(f"the stream cannot be read: {error}") from None
        raise BrokenStream(str(error) or type(error).__name__) from None
    if not ended and whole.finish_reason is None:
        if not whole.text:
            raise aiohttp.ClientPayloadError("the stream ended before its first text")
        raise BrokenStream("it ended without saying why")
    return json.dumps(whole.body()).encode()


class _Whole:
    """What the pieces make together."""

    def __init__(self, heard: Callable[[str], None] | None) -> None:
        self.heard, self.text = heard, ""
        self.finish_reason: str | None = None
        self.usage: Any = None
        self.error: Any = None
        self.beside: dict[str, str] = {}  # what stands beside the content, by the name of its field
        self.tool_calls: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Any) -> None:
        if not isinstance(chunk, dict):
            return
        self.usage, self.error = chunk.get("usage") or self.usage, chunk.get("error") or self.error
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if piece := delta.get("content"):
                self.text += piece
                if self.heard is not None:
                    self.heard(piece)
            for name in _BESIDE:
                if isinstance(piece := delta.get(name), str):
                    self.beside[name] = self.beside.get(name, "") + piece
            for call in delta.get("tool_calls") or ():
                self._add_call(call)
            self.finish_reason = choice.get("finish_reason") or self.finish_reason

    def _add_call(self, piece: dict[str, Any]) -> None:
        call = self.tool_calls.setdefault(
            int(piece.get("index", 0)), {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = piece.get("id") or call["id"]
        for part in ("name", "arguments"):
            call["function"][part] += (piece.get("function") or {}).get(part) or ""

    def body(self) -> dict[str, Any]:
        calls = [call for _, call in sorted(self.tool_calls.items())]
        message = {
            "role": "assistant",
            "content": self.text or None,
            **self.beside,
            **({"tool_calls": calls} if calls else {}),
        }
        whole: dict[str, Any] = {
            "choices": [{"message": message, "finish_reason": self.finish_reason}],
            "usage": self.usage,
        }
        return {**whole, "error": self.error} if self.error else whole

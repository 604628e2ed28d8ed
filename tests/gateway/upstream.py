"""A stand-in for a provider, in raw bytes, for tests of the gateway: it answers exactly what a test says."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable

Answer = Callable[["Asked", asyncio.StreamWriter], Awaitable[None]]


class Asked:
    """One call as it came."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head, self.raw_body = head, body
        self.line, *lines = head.decode("latin-1").split("\r\n")
        self.headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines if line]

    @property
    def body(self):
        return json.loads(self.raw_body)


def plain(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def chat(text, **more) -> bytes:
    message = {"role": "assistant", "content": text}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22},
    }
    return plain("200 OK", json.dumps(body | more).encode(), "Content-Type: application/json", "X-Request-Id: r-1")


class FakeProvider:
    """Listens on a free port. `answer` may be set by a test at any time; `asked` has the calls in order."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.n_connections = 0
        self.answer: Answer = self._echo

    async def _echo(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(chat("good" if b"good" in asked.raw_body else "bad"))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                asked = Asked(head, b"")
                headers = {name.lower(): value for name, value in asked.headers}
                if "chunked" in headers.get("transfer-encoding", ""):
                    while size := int(await reader.readline(), 16):
                        asked.raw_body += (await reader.readexactly(size + 2))[:-2]
                    await reader.readline()
                else:
                    asked.raw_body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.asked.append(asked)
                await self.answer(asked, writer)
                await writer.drain()
                if writer.is_closing():
                    break
        writer.close()

    @contextlib.asynccontextmanager
    async def running(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

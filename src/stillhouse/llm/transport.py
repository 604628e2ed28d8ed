"""JSON posts to one address over connections that are kept open (HTTP/1.1).

For many small calls it takes a quarter of the processor time of a general client. The parser is httptools, node's own;
TLS and sockets are asyncio's. The environment's proxy is used (`connecting`). There are no redirects, no compression
and no pipelining. It raises TimeoutError, OSError (`ConnectionError` where a reply breaks off or is no HTTP), and
TooLong.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools
from multidict import CIMultiDict

from stillhouse.llm.connecting import connect
from stillhouse.proxies import proxy_for

# Seconds after which an idle connection is not used again: servers close it, and a request sent just then is lost.
_IDLE_S = 10.0


class TooLong(Exception):
    """The reply is longer than the caller wants to read."""


class _Connection(asyncio.Protocol):
    """One connection, for one request at a time."""

    transport: asyncio.Transport

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._answer: asyncio.Future[tuple[int, Mapping[str, str], bytes]] | None = None
        self.idle_since = 0.0
        self.open = True
        self._until_close = False
        # One parser for all replies: making a parser takes longer than parsing a reply.
        self._parser = httptools.HttpResponseParser(self)

    def ask(self, head: bytes, body: bytes) -> "asyncio.Future[tuple[int, Mapping[str, str], bytes]]":
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(head + body)
        return self._answer

    def _settle(self, outcome: tuple[int, Mapping[str, str], bytes] | Exception) -> None:
        answer, self._answer = self._answer, None
        if answer is None or answer.done():
            return
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    # Methods that asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Event loops other than asyncio's have transport classes of their own.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # data came although no request was under way
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._settle(cause if isinstance(cause, TooLong) else ConnectionError(f"the reply is no HTTP: {error}"))
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._until_close and error is None and self._answer is not None:
            self._finish()  # a body without a length ends where the connection does
        self._settle(ConnectionError("the connection broke off" if error is None else str(error)))

    # Methods that the parser calls.

    def on_message_begin(self) -> None:
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._body: list[bytes] = []
        self._length = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        self._until_close = "Content-Length" not in self._headers and "Transfer-Encoding" not in self._headers

    def on_body(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length > self._longest:
            raise TooLong
        self._body.append(piece)

    def on_message_complete(self) -> None:
        # After a 1xx status, which says that the request is being worked on, the reply still follows.
        if self._parser.get_status_code() >= 200:
            self._finish()

    def _finish(self) -> None:
        status, headers, body = self._parser.get_status_code(), self._headers, b"".join(self._body)
        # A second reply came that nobody asked for, or the server closes the connection.
        if self._answer is None or not self._parser.should_keep_alive():
            self.close()
        self._settle((status, headers, body))

    def expire(self) -> None:
        """The answer did not come in time. The connection is closed: what may still come over it belongs to nobody."""
        self._settle(TimeoutError())
        self.close()

    def close(self) -> None:
        self.open = False
        self.transport.abort()


class Transport:
    """Posts to addresses under `base_url`.

    `headers` go with every request. The key is among them, and is written nowhere else.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], *, timeout_s: float, longest: int) -> None:
        parts = urlsplit(base_url)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._secure else 80)
        self._path, self._timeout_s, self._longest = parts.path.rstrip("/"), timeout_s, longest
        self._proxy = proxy_for(base_url)
        sent_headers = {
            "Host": parts.netloc.rpartition("@")[2],
            "Content-Type": "application/json",
            "Accept": "application/json",
            **headers,
        }
        if self._proxy is not None and not self._secure:  # the proxy reads the request, and is told the whole address
            self._path = f"http://{sent_headers['Host']}{self._path}"
            sent_headers |= self._proxy.headers
        if any("\r" in value or "\n" in value for value in sent_headers.values()):
            raise OSError("a header holds a line break")
        self._head = "".join(f"{name}: {value}\r\n" for name, value in sent_headers.items())
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._due: dict[_Connection, float] = {}  # connection -> when its request under way runs out of time
        # One timer, set to the earliest of these times: a timer per request would cost as much as parsing its reply.
        self._alarm: asyncio.TimerHandle | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """(status, headers, body) of one request."""
        head = f"POST {self._path}/{path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1")
        loop = asyncio.get_running_loop()
        due = loop.time() + self._timeout_s
        if (connection := self._kept(loop.time())) is None:
            async with asyncio.timeout_at(due):
                connection = await self._connect()
        self._due[connection] = due
        if self._alarm is None or due < self._alarm.when():
            self._set_alarm(loop, due)
        try:
            answer = await connection.ask(head, body)
        except BaseException:  # the request was cancelled, or the connection broke
            connection.close()  # a reply that still comes over this connection belongs to nobody
            raise
        finally:
            del self._due[connection]
            if not connection.open:
                self._open.discard(connection)
        if connection.open:
            connection.idle_since = loop.time()
            self._idle.append(connection)
        return answer

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = loop.call_at(at, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the requests whose time is up, and set the timer for the next."""
        self._alarm, now = None, loop.time()
        for connection in [connection for connection, due in self._due.items() if due <= now]:
            connection.expire()
        if later := [due for due in self._due.values() if due > now]:
            self._set_alarm(loop, min(later))

    def _kept(self, now: float) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.open and now - connection.idle_since < _IDLE_S:
                return connection
            connection.close()
            self._open.discard(connection)
        return None

    async def _connect(self) -> _Connection:
        connection = await connect(
            lambda: _Connection(self._longest), self._host, self._port, secure=self._secure, proxy=self._proxy
        )
        self._open.add(connection)
        return connection

    async def close(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._idle.clear()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)  # lets the transports close before the loop ends

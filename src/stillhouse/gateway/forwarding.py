"""An app's connection: each call on it goes to an upstream as it came, and the answer comes back as it was sent.

What is changed: a call's path is put under the upstream's, its Host header names the upstream, headers that are for one
connection alone (RFC 9110, 7.6.1) or for the gateway stay here. The answer gets two headers, `x-stillhouse-source` and
`x-stillhouse-call`. All else, the framing too, is passed on byte for byte, and each piece at once.

An app that goes away ends its call upstream, as it would have without us. A call is sent a second time only where a
kept connection turns out to have been closed by the upstream before it answered a byte.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import Mapping
from typing import Protocol, cast

import httptools

from stillhouse.gateway.calls import ForwardedCall, Kept
from stillhouse.gateway.feedback import MOST_BYTES, PATH
from stillhouse.gateway.upstreams import Pool, Upstream, UpstreamConnection, Upstreams

SOURCE, CALL = b"x-stillhouse-source", b"x-stillhouse-call"
OURS = b"x-stillhouse-"  # headers to the gateway, which no upstream sees
STEP, KEY = b"x-stillhouse-step", b"x-stillhouse-key"
# Of one connection alone. `te` and `trailer` are not among them: the body's framing is passed on as it is.
_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization"))
MOST_HEAD = 64 * 2**10  # bytes of a head
MOST_AHEAD = 16  # calls that a client may send before their turn
MOST_REPLAYED = 1 << 20  # bytes of a call that is kept so that it can be sent again
HEAD_S = 10.0  # for a connection's first head to arrive in
IDLE_S = 75.0  # between two calls
_log = logging.getLogger(__name__)


class Host(Protocol):
    """What a connection needs of the gateway."""

    upstreams: Upstreams
    pool: Pool
    connections: set["AppConnection"]
    stopping: bool

    def refusal(self, headers: Mapping[bytes, bytes]) -> tuple[int, str] | None:
        """Why this client is not let in, as status and sentence."""

    def own(self, method: str, path: str) -> tuple[int, str, bytes] | None:
        """The answer, as status, content type and body, where the path is the gateway's own."""

    def said(self, body: bytes | None) -> tuple[int, str, bytes]:
        """The answer to feedback with this body; None: it was too long."""

    def over(self, call: ForwardedCall) -> None:
        """A call has its answer, or will never have one. Must not raise and not wait."""


class _Exchange:
    """One call on a connection, from its head to the last byte of its answer."""

    __slots__ = (
        "answered",
        "anthropic",
        "begun",
        "body",
        "call",
        "chunked",
        "closes",
        "connection",
        "ended",
        "feedback",
        "head",
        "is_head",
        "n_sent",
        "n_waiting",
        "raw",
        "received",
        "sent",
        "started",
        "to",
        "upgrade",
    )

    def __init__(self) -> None:
        self.call: ForwardedCall | None = None
        self.to: Upstream | None = None
        self.feedback: Kept | None = None  # its body, where the call is feedback to us
        self.head = b""
        self.body: deque[bytes] = deque()  # framed, and not yet sent
        self.sent: list[bytes] | None = []  # what a second try would send; None: too much to be kept
        self.connection: UpstreamConnection | None = None
        self.raw: bytes | None = b""  # of the answer, until its head is whole
        self.received = False  # all of the call
        self.ended = False
        self.answered = False  # a byte of the answer went out
        self.begun = self.chunked = self.closes = self.is_head = self.upgrade = self.anthropic = False
        self.n_waiting = self.n_sent = 0
        self.started = time.monotonic()


class AppConnection(asyncio.Protocol):
    """One client's connection. It works on one call at a time; what is sent ahead of its turn waits."""

    transport: asyncio.Transport

    def __init__(self, host: Host) -> None:
        self._host = host
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[_Exchange] = deque()  # the first is in work
        self._coming: _Exchange | None = None  # whose call is still being received
        self._url, self._headers, self._head_bytes = b"", [], 0
        self.since = asyncio.get_running_loop().time()  # when it was last idle; None while a call is in work
        self.n_calls = 0
        self._closed = self._tunnel = False
        self._connecting: asyncio.Task[None] | None = None

    _headers: list[tuple[bytes, bytes]]

    # Methods that asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._host.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._tunnel:
            connection = self._queue[0].connection if self._queue else None
            if connection is not None and connection.open:
                connection.transport.write(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._queue:  # the bytes after the head are for the other side of the tunnel
                rest = data[upgrade.args[0] :]
                if rest:
                    self._queue[-1].body.append(rest)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _TooLargeHeadError):
                self._refuse(431, f"the head of the call is over {MOST_HEAD:,} bytes; send less in headers")
            elif isinstance(error, httptools.HttpParserCallbackError):
                _log.error("a call could not be taken", exc_info=error.__context__)
                self._refuse(500, "the gateway failed at this call; its log says why")
            else:
                self._refuse(400, "the request is not valid HTTP; mend its first line and its headers")
            return
        self._begin()

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        self._host.connections.discard(self)
        if self._connecting is not None:
            self._connecting.cancel()
        for exchange in self._queue:
            if exchange.connection is not None:
                exchange.connection.let_go()
            if exchange.call is not None and not exchange.ended:
                exchange.call.broke = exchange.call.broke or "the client went away"
                self._tell(exchange)
        self._queue.clear()

    def pause_writing(self) -> None:
        if self._queue and (connection := self._queue[0].connection) is not None:
            connection.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._queue and (connection := self._queue[0].connection) is not None and connection.open:
            connection.transport.resume_reading()

    # Methods that the parser calls.

    def on_message_begin(self) -> None:
        self._url, self._headers, self._head_bytes = b"", [], 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        self._grow(len(name) + len(value) + 4)

    def _grow(self, n: int) -> None:
        self._head_bytes += n
        if self._head_bytes > MOST_HEAD:
            raise _TooLargeHeadError

    def on_headers_complete(self) -> None:
        exchange = self._coming = _Exchange()
        self.n_calls += 1
        method = self._parser.get_method()
        headers = {name.lower(): value for name, value in self._headers}
        version = self._parser.get_http_version()
        exchange.is_head = method == b"HEAD"
        exchange.upgrade = self._parser.should_upgrade()
        exchange.chunked = b"chunked" in headers.get(b"transfer-encoding", b"").lower()
        exchange.closes = not (self._parser.should_keep_alive() or exchange.upgrade)
        exchange.anthropic = b"anthropic-version" in headers
        path = _path_of(self._url)
        refused = self._host.refusal(headers)
        own = None if refused is not None else self._host.own(method.decode("latin-1"), path)
        if refused is not None or own is not None:
            status, kind, body = own or (refused[0], "application/json", refusal(refused[1]))  # type: ignore[index]
            exchange.raw = None
            exchange.head = _answer(status, kind, b"" if exchange.is_head else body, close=exchange.closes)
        elif path == PATH and method == b"POST":
            exchange.feedback, exchange.raw = Kept(MOST_BYTES), None
        else:
            self._address(exchange, method, path, headers, version)
        self._queue.append(exchange)

    def _address(
        self, exchange: _Exchange, method: bytes, path: str, headers: Mapping[bytes, bytes], version: str
    ) -> None:
        """The head as it goes to the upstream, and the call as it is kept."""
        to = exchange.to = self._host.upstreams.of(path, anthropic=exchange.anthropic)
        step = headers.get(STEP)
        exchange.call = ForwardedCall(
            id=secrets.token_hex(12),
            began=time.time(),
            method=method.decode("latin-1"),
            path=path,
            upstream=to.name,
            step=step.decode("utf-8", "replace") if step else None,
            encoding="",
        )
        target = self._url
        if not target.startswith(b"/"):  # http://host/path, as to a proxy
            target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
        named = {name.strip().lower() for name in headers.get(b"connection", b"").split(b",")} - {b"close", b""}
        lines = [b"%b %b%b HTTP/%b" % (method, to.address, target, version.encode()), *to.proxy_headers]
        for name, value in self._headers:
            lower = name.lower()
            if lower == b"host":
                lines.append(b"%b: %b" % (name, to.host_header))
            elif (exchange.upgrade and lower in (b"connection", b"upgrade")) or (
                lower not in _HOP and lower not in named and not lower.startswith(OURS)
            ):
                lines.append(b"%b: %b" % (name, value))
        if version == "1.0":
            lines.append(b"Connection: close")
        exchange.head = b"\r\n".join((*lines, b"", b""))

    def on_body(self, piece: bytes) -> None:
        exchange = self._coming
        if exchange is not None and exchange.feedback is not None:
            exchange.feedback.add(piece)
        if exchange is None or exchange.call is None or not piece:  # an empty chunk would be the last one
            return
        exchange.call.request.add(piece)
        framed = b"%x\r\n%b\r\n" % (len(piece), piece) if exchange.chunked else piece
        self._upload(exchange, framed)

    def on_message_complete(self) -> None:
        exchange, self._coming = self._coming, None
        if exchange is None:
            return
        exchange.received = True
        if exchange.chunked and exchange.call is not None:
            self._upload(exchange, b"0\r\n\r\n")
        if len(self._queue) > MOST_AHEAD:
            self.transport.pause_reading()

    # The call, to the upstream

    def _upload(self, exchange: _Exchange, piece: bytes) -> None:
        if exchange.connection is not None:
            self._send(exchange, piece)
            return
        exchange.body.append(piece)
        exchange.n_waiting += len(piece)
        if exchange.n_waiting > MOST_HEAD:
            self.transport.pause_reading()

    def _send(self, exchange: _Exchange, piece: bytes) -> None:
        connection = exchange.connection
        if connection is None or not connection.open:
            return
        if exchange.sent is not None:
            exchange.sent.append(piece)
            exchange.n_sent += len(piece)
            if exchange.n_sent > MOST_REPLAYED:
                exchange.sent = None
        connection.transport.write(piece)

    def _begin(self) -> None:
        """Begin with the first call, where its turn has come: with what came of it together, in one write."""
        if not self._queue or self._queue[0].begun:
            return
        exchange = self._queue[0]
        if exchange.to is None:
            if exchange.received:
                exchange.begun = True
                self._answer_own(exchange)
            return
        exchange.begun = True
        if (connection := self._host.pool.kept(exchange.to)) is not None:
            self._start(exchange, connection)
        else:
            self._connecting = asyncio.get_running_loop().create_task(self._connect(exchange))

    async def _connect(self, exchange: _Exchange) -> None:
        assert exchange.to is not None
        try:
            connection = await self._host.pool.connect(exchange.to)
        except OSError as error:
            reason = (
                "it did not answer"
                if isinstance(error, TimeoutError)
                else (error.strerror or str(error) or type(error).__name__)
            )
            self._fail(exchange, f"the upstream {exchange.to.name} cannot be reached ({reason}); ask again later")
            return
        finally:
            self._connecting = None
        if self._closed:
            connection.close()
            return
        self._start(exchange, connection)

    def _start(self, exchange: _Exchange, connection: UpstreamConnection) -> None:
        exchange.connection = connection
        connection.listen(_Answer(self, exchange, reused=connection.n_answers > 0), no_body=exchange.is_head)
        pieces, exchange.body = (exchange.head, *exchange.body), deque()
        if exchange.n_waiting <= MOST_HEAD:  # one write instead of two or three
            self._send(exchange, b"".join(pieces))
        else:
            for piece in pieces:
                self._send(exchange, piece)
        if not exchange.received:
            self.transport.resume_reading()

    def again(self, exchange: _Exchange) -> None:
        """The kept connection had been closed before it took this call: it is sent over a new one."""
        pieces = exchange.sent
        assert pieces is not None
        exchange.connection, exchange.sent, exchange.n_sent = None, [], 0
        exchange.head, exchange.body = b"", deque(pieces)
        self._connecting = asyncio.get_running_loop().create_task(self._connect(exchange))

    # The answer, to the client

    def answer(self, exchange: _Exchange, data: bytes) -> None:
        """Bytes of the answer as they came; two headers are put at the end of its head."""
        if exchange.raw is None:
            self.transport.write(data)
            return
        raw = exchange.raw + data
        while (end := raw.find(b"\r\n\r\n")) >= 0:
            status = raw[9:12]
            if status[:1] == b"1" and status != b"101":  # "100 Continue": the answer still follows
                self.transport.write(raw[: end + 4])
                raw = raw[end + 4 :]
                continue
            assert exchange.call is not None
            added = b"\r\n%b: upstream\r\n%b: %b" % (SOURCE, CALL, exchange.call.id.encode())
            exchange.call.encoding = _header(raw[:end], b"content-encoding")
            exchange.raw, exchange.answered = None, True
            self.transport.write(b"".join((raw[:end], added, raw[end:])))
            if status == b"101":
                self._tunnel = True
                self.transport.resume_reading()
            return
        exchange.raw = raw
        if len(raw) > 4 * MOST_HEAD:
            self._fail(exchange, "the upstream's answer has a head that does not end")

    def end(self, exchange: _Exchange, *, stays_open: bool) -> None:
        """The answer is whole. The connection goes on with the next call, or ends."""
        connection, exchange.connection = exchange.connection, None
        if connection is not None and exchange.to is not None and stays_open and exchange.received:
            self._host.pool.give_back(exchange.to, connection)
        elif connection is not None:
            connection.close()
        self._tell(exchange)
        self._next(exchange, close=exchange.closes or exchange.upgrade or not stays_open or not exchange.received)

    def _next(self, exchange: _Exchange, *, close: bool) -> None:
        if self._queue and self._queue[0] is exchange:
            self._queue.popleft()
        if close or self._host.stopping:
            self.transport.close()
            return
        self.since = asyncio.get_running_loop().time()
        self._begin()
        self.transport.resume_reading()

    def _fail(self, exchange: _Exchange, why: str) -> None:
        """There is no whole answer: 502 where none has begun, else the connection breaks off as the upstream's did."""
        if exchange.ended:
            return
        if exchange.connection is not None:
            exchange.connection.let_go()
            exchange.connection = None
        if exchange.call is not None:
            exchange.call.broke = why
        self._tell(exchange)
        if exchange.answered or self._closed:
            self.transport.abort()
            return
        call = exchange.call.id if exchange.call is not None else ""
        body = b"" if exchange.is_head else refusal(why, "upstream_failed")
        self.transport.write(_answer(502, "application/json", body, close=True, call=call))
        self._next(exchange, close=True)

    broke = _fail

    def _answer_own(self, exchange: _Exchange) -> None:
        if exchange.feedback is not None:
            status, kind, body = self._host.said(exchange.feedback.whole)
            exchange.head = _answer(status, kind, body, close=exchange.closes)
        self.transport.write(exchange.head)
        self._next(exchange, close=exchange.closes)

    def _refuse(self, status: int, why: str) -> None:
        """What came is no call. Calls that came before it are given up with the connection."""
        if not self._closed:
            self.transport.write(_answer(status, "application/json", refusal(why), close=True))
            self.transport.close()

    def _tell(self, exchange: _Exchange) -> None:
        if exchange.ended:
            return
        exchange.ended = True
        if exchange.call is not None:
            exchange.call.seconds = time.monotonic() - exchange.started
            self._host.over(exchange.call)

    # Time

    @property
    def in_work(self) -> bool:
        return bool(self._queue)

    def close_if_idle(self, now: float) -> None:
        """No call is under way, and none came for too long."""
        if not self._queue and now - self.since > (IDLE_S if self.n_calls else HEAD_S):
            self.transport.close()


class _Answer:
    """What an upstream's connection tells of one call's answer."""

    __slots__ = ("_app", "_came", "_exchange", "_reused")

    def __init__(self, app: AppConnection, exchange: _Exchange, *, reused: bool) -> None:
        self._app, self._exchange, self._reused, self._came = app, exchange, reused, False

    def answer_began(self, status: int) -> None:
        if self._exchange.call is not None:
            self._exchange.call.status = status

    def answer_came(self, data: bytes) -> None:
        self._came = True
        self._app.answer(self._exchange, data)

    def answer_body(self, piece: bytes) -> None:
        if self._exchange.call is not None:
            self._exchange.call.answer.add(piece)

    def answer_ended(self, *, stays_open: bool) -> None:
        self._app.end(self._exchange, stays_open=stays_open)

    def answer_broke(self, why: str) -> None:
        if self._reused and not self._came and self._exchange.sent is not None:
            self._app.again(self._exchange)
        else:
            name = self._exchange.to.name if self._exchange.to is not None else "?"
            self._app.broke(self._exchange, f"the upstream {name} failed: {why}")

    def upload_may_go_on(self, may: bool) -> None:
        with contextlib.suppress(RuntimeError):
            (self._app.transport.resume_reading if may else self._app.transport.pause_reading)()


class _TooLargeHeadError(Exception):
    """A head that is longer than any client's."""


def _path_of(url: bytes) -> str:
    """The path alone."""
    text = url.decode("latin-1")
    if "://" in text.partition("?")[0]:
        text = "/" + text.partition("://")[2].partition("/")[2]
    return text.partition("?")[0].partition("#")[0]


def _header(head: bytes, name: bytes) -> str:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode("latin-1").lower()
    return ""


def refusal(message: str, code: str | None = None) -> bytes:
    """An error as the OpenAI API has it."""
    kind = "invalid_request_error" if code is None else "api_error"
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


_REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
_REASONS |= {405: "Method Not Allowed", 431: "Request Header Fields Too Large", 500: "Internal Server Error"}
_REASONS |= {502: "Bad Gateway", 503: "Service Unavailable"}


def _answer(status: int, kind: str, body: bytes, *, close: bool, call: str = "") -> bytes:
    """An answer of the gateway's own."""
    lines = [
        f"HTTP/1.1 {status} {_REASONS.get(status, '')}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        f"{SOURCE.decode()}: gateway",
        *([f"{CALL.decode()}: {call}"] if call else []),
        *(["Connection: close"] if close else []),
    ]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body

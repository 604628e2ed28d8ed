"""Where calls are forwarded to, and the connections there: kept open, for one call at a time."""

import asyncio
import contextlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools

from stillhouse.addresses import without_secrets
from stillhouse.errors import UserError
from stillhouse.llm.connecting import connect
from stillhouse.proxies import Proxy, proxy_for

# Base URLs by name, as the providers' own clients have them, without their `/v1`.
KNOWN = {"openai": "https://api.openai.com", "anthropic": "https://api.anthropic.com"}
CONNECT_S = 10.0
# Seconds after which an idle connection is not used again: servers close it, and a call sent just then is lost.
IDLE_S = 10.0
MOST_IDLE = 256


@dataclass(frozen=True, eq=False)
class Upstream:
    """A provider, or a server that speaks one's protocol. `root` is what stands before `/v1/...` in a call's path."""

    name: str  # as the user gave it, for messages and metrics
    host: str
    port: int
    secure: bool
    root: str
    proxy: Proxy | None = None  # which the environment names for it

    @property
    def address(self) -> bytes:
        """What stands before a call's path: where a proxy is asked itself, the whole address."""
        asked = b"http://%b" % self.host_header if self.proxy is not None and not self.secure else b""
        return asked + self.root.encode("latin-1")

    @property
    def proxy_headers(self) -> list[bytes]:
        """Lines for a proxy that is asked itself."""
        if self.proxy is None or self.secure:
            return []
        return [f"{name}: {value}".encode("latin-1") for name, value in self.proxy.headers.items()]

    @property
    def host_header(self) -> bytes:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (443 if self.secure else 80)
        return (host if usual else f"{host}:{self.port}").encode("latin-1")


def upstream(given: str) -> Upstream:
    """The upstream of a known name or an address such as `http://127.0.0.1:8000/v1`. Raises UserError."""
    url = KNOWN.get(given, given)
    shown = without_secrets(given)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UserError(f"the upstream {shown!r} is no address; give {_forms()}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"the upstream {shown!r} is unknown; give {_forms()}")
    if parts.username is not None or parts.query or parts.fragment:
        raise UserError(
            f"the upstream {shown!r} has more than host and path; give its plain base URL: "
            "the client's own key goes through"
        )
    secure = parts.scheme == "https"
    return Upstream(
        name=given if given in KNOWN else f"{parts.scheme}://{parts.netloc}",
        host=parts.hostname,
        port=port or (443 if secure else 80),
        secure=secure,
        root=parts.path.rstrip("/").removesuffix("/v1"),
        proxy=proxy_for(url),
    )


def _forms() -> str:
    return f"{', '.join(KNOWN)} or a base URL such as http://127.0.0.1:8000/v1"


class Upstreams:
    """Which upstream a call is for: the one of its protocol where that is named, else the first."""

    def __init__(self, given: Sequence[str]) -> None:
        if not given:
            raise UserError(f"there is no upstream to forward to; give --upstream {_forms()}")
        self.all = [upstream(one) for one in dict.fromkeys(given)]
        self._anthropic = next((one for one in self.all if one.name == "anthropic"), self.all[0])
        self._others = next((one for one in self.all if one.name != "anthropic"), self.all[0])

    def of(self, path: str, *, anthropic: bool) -> Upstream:
        """`anthropic`: the client says that it speaks Anthropic's protocol."""
        return self._anthropic if anthropic or path.startswith("/v1/messages") else self._others


class Listener(Protocol):
    """Who waits for a connection's answer."""

    def answer_began(self, status: int) -> None: ...

    def answer_came(self, data: bytes) -> None: ...

    def answer_body(self, piece: bytes) -> None: ...

    def answer_ended(self, *, stays_open: bool) -> None: ...

    def answer_broke(self, why: str) -> None: ...

    def upload_may_go_on(self, may: bool) -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """One connection. What it receives is given on as it came; the parser only says where an answer ends."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._listener: Listener | None = None
        self._no_body = self._tunnel = False
        self.open, self.idle_since, self.n_answers = True, 0.0, 0
        self._parser = httptools.HttpResponseParser(self)
        self._until_close = self._ended = self._stays_open = False

    def listen(self, listener: Listener, *, no_body: bool) -> None:
        """From now on the answer is told to this one. `no_body`: the call is a HEAD, whose answer has none."""
        self._listener, self._no_body, self._ended = listener, no_body, False

    def let_go(self) -> None:
        """Nobody waits any longer: what still comes belongs to no call."""
        self._listener = None
        self.close()

    def close(self) -> None:
        self.open = False
        self.transport.abort()

    # Methods that asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def pause_writing(self) -> None:
        if self._listener is not None:
            self._listener.upload_may_go_on(False)

    def resume_writing(self) -> None:
        if self._listener is not None:
            self._listener.upload_may_go_on(True)

    def data_received(self, data: bytes) -> None:
        listener = self._listener
        if listener is None:  # data came although no call is under way
            self.close()
            return
        if self._tunnel:
            listener.answer_came(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._tunnel = True  # a WebSocket: from here on both sides only pass bytes on
            listener.answer_began(101)
        except httptools.HttpParserError as error:
            self._listener = None
            self.close()
            listener.answer_broke(f"its answer is no HTTP ({error})")
            return
        listener.answer_came(data)
        if self._ended:
            self._finish(listener)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        listener, self._listener = self._listener, None
        if listener is None:
            return
        if self._tunnel or (self._until_close and error is None):
            listener.answer_ended(stays_open=False)  # a body without a length ends where the connection does
        else:
            listener.answer_broke("it closed the connection before its answer was whole")

    def _finish(self, listener: Listener) -> None:
        self.n_answers += 1
        self._listener = None
        if self._no_body or not self._stays_open:
            self.close()
        listener.answer_ended(stays_open=self._stays_open)

    # Methods that the parser calls.

    def on_message_begin(self) -> None:
        self._until_close = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._until_close = False

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and self._listener is not None:
            self._listener.answer_began(status)
            if self._no_body or status in (204, 304):
                self._ended, self._until_close = True, False
                self._stays_open = self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        if self._listener is not None:
            self._listener.answer_body(piece)

    def on_message_complete(self) -> None:
        # After a 1xx status, which says that the call is being worked on, the answer still follows.
        if self._parser.get_status_code() >= 200:
            self._ended = True
            self._stays_open = self._parser.should_keep_alive()  # the parser knows it at this moment alone


class Pool:
    """Connections to the upstreams. One that is idle is used again for a while."""

    def __init__(self, connect_s: float = CONNECT_S) -> None:
        self._idle: dict[Upstream, list[UpstreamConnection]] = {}
        self._connect_s = connect_s

    def kept(self, where: Upstream) -> UpstreamConnection | None:
        idle, now = self._idle.get(where, []), asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()
            if connection.open and now - connection.idle_since < IDLE_S:
                return connection
            connection.close()
        return None

    async def connect(self, where: Upstream) -> UpstreamConnection:
        """A new connection. Raises OSError, TimeoutError (an OSError, too)."""
        async with asyncio.timeout(self._connect_s):
            return await connect(UpstreamConnection, where.host, where.port, secure=where.secure, proxy=where.proxy)

    def give_back(self, where: Upstream, connection: UpstreamConnection) -> None:
        idle = self._idle.setdefault(where, [])
        if not connection.open:
            return
        if len(idle) >= MOST_IDLE:
            connection.close()
            return
        connection.idle_since = asyncio.get_running_loop().time()
        idle.append(connection)

    def close(self) -> None:
        for connection in (one for idle in self._idle.values() for one in idle):
            connection.close()
        self._idle.clear()


def is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"

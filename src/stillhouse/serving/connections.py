"""The server's connections: how many, how long a request's head may take, and that none is cut while it stops.

aiohttp's own timer closes a connection that is idle between two requests. It waits for ever for the first head, and it
writes the bytes of a malformed head, in which a key may be, to the log and to the client.
"""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from stillhouse.errors import UserError
from stillhouse.serving.errors import ApiError

HEAD_S = 10.0  # for a connection's first head to arrive in
IDLE_S = 75.0  # between the requests of a kept connection, and for each next head to arrive in
MOST_CONNECTIONS = 512
# Bytes that one connection has read and taken apart before others get their turn. asyncio's own 256 kB may be 40,000
# chunks of one byte, and they held all requests up for half a second.
READ_BYTES = 8 * 2**10
LAST_CHANCE_S = 2.0  # how long a server that stops still answers on kept connections, so that none is cut mid-request
_CLOSING_S = 1.0  # seconds of the stopping time that are kept for telling who still waits, and for closing
_log = logging.getLogger(__name__)


class Connections:
    """An application on an address. `stop` answers what comes on kept connections, tells them to close, and ends."""

    def __init__(self, app: web.Application, headers: Mapping[str, str] | None = None) -> None:
        """`headers` go with what the application does not answer itself, such as a malformed request."""
        self.stopping, self._headers = False, dict(headers or {})
        self._in_work: dict[asyncio.Task[Any], bool] = {}  # and whether the response, a stream, has begun
        self._gives_up = False
        app.middlewares.insert(0, _refuse_packed)
        app.middlewares.append(self._count)
        app.on_response_prepare.append(self._say_close)
        # aiohttp waits this long twice for each connection; `stop` has waited already.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING_S / 2, keepalive_timeout=IDLE_S)
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    async def listen(self, host: str, port: int, *, remedy: str) -> int:
        """The port that is listened on. Raises UserError, which ends with `remedy`."""
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(self._connection, host, port)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot listen on {host} port {port} ({reason}); {remedy}") from None
        bound_port: int = self._server.sockets[0].getsockname()[1]
        return bound_port

    async def stop(self, within_s: float) -> None:
        """No new connection; then every request that comes on an open one is answered, within the time given.

        One that is still in work then is given up: its client is told so by a 503.
        """
        began = time.monotonic()
        self.stopping = True
        if self._server is not None:
            self._server.close()
        # Work goes on for a client that has gone: it may be a call that is paid for.
        while (self._open or self._in_work) and (past_s := time.monotonic() - began) < within_s - _CLOSING_S:
            if past_s > LAST_CHANCE_S and not self._in_work:
                break
            await asyncio.sleep(0.02)
        self._gives_up = True
        if given_up := [task for task in self._in_work if task.cancel()]:
            await asyncio.wait(given_up, timeout=_CLOSING_S / 2)
        await self._runner.cleanup()

    def _connection(self) -> "_Connection":
        server = self._runner.server
        assert server is not None
        # A body stays as it was sent: unpacked, 1 MB may be 1 GB, and it would be unpacked though nobody reads it.
        return _Connection(
            server, self._open, self._headers, access_log=None, keepalive_timeout=IDLE_S, auto_decompress=False
        )

    @web.middleware
    async def _count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._in_work[task] = False
        try:
            response: web.StreamResponse = await handler(request)
            return response
        except asyncio.CancelledError:
            if not self._gives_up or self._in_work[task]:
                raise
            task.uncancel()
            message = "the server stops, and this was not answered in time; ask again"
            return _refusal(ApiError(503, message, code="stopping", retry_after_s=1))
        finally:
            del self._in_work[task]

    async def _say_close(self, _: web.Request, response: web.StreamResponse) -> None:
        if (task := asyncio.current_task()) in self._in_work:
            self._in_work[task] = True
        if self.stopping:
            response.force_close()
            response.headers["Connection"] = "close"


class _Connection(RequestHandler):
    """One client's connection."""

    def __init__(
        self, server: web.Server, open_ones: "set[_Connection]", headers: Mapping[str, str], **settings: Any
    ) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **settings)
        self._open_ones, self._headers = open_ones, headers
        self._late_head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # asyncio's own transports have it
            transport.max_size = READ_BYTES
        if len(self._open_ones) >= MOST_CONNECTIONS:
            assert isinstance(transport, asyncio.WriteTransport)
            refusal = ApiError(503, f"all {MOST_CONNECTIONS} connections are taken; try again", retry_after_s=1)
            transport.write(_response("503 Service Unavailable", refusal, self._headers))
            self.force_close()
            return
        self._open_ones.add(self)
        self._late_head = asyncio.get_running_loop().call_later(HEAD_S, self._close_unless_asked)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._open_ones.discard(self)
        if self._late_head is not None:
            self._late_head.cancel()
        super().connection_lost(exc)

    def _close_unless_asked(self) -> None:
        if not self._request_count:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is wrong with a head is told without its bytes, and without a traceback.

        So is a client that goes away before it has its answer: whoever is not let in may do that as often as he likes.
        """
        if isinstance(exc, ConnectionError):
            _log.info("%s went away before it had its answer", request.remote)
            response: web.StreamResponse = _refusal(malformed())  # which nobody gets
        elif status >= 500:
            response = super().handle_error(request, status, exc, message)
        else:
            _log.info("a malformed request from %s was refused (%s)", request.remote, type(exc).__name__)
            response = _refusal(malformed())
        response.headers.update(self._headers)
        return response


@web.middleware
async def _refuse_packed(request: web.Request, handler: Any) -> web.StreamResponse:
    """415 for a body that is packed, whoever sends it and to whatever path. The connection ends with it."""
    packings = {
        word.strip().lower() for line in request.headers.getall("Content-Encoding", ()) for word in line.split(",")
    }
    if packed_as := sorted(packings - {"", "identity"}):
        message = f"the body is packed (Content-Encoding: {packed_as[0][:40]}); send it as it is, without that header"
        return _refusal(ApiError(415, message, code="unsupported_encoding"))
    answer: web.StreamResponse = await handler(request)
    return answer


def host_of(request: web.Request) -> str | None:
    """The name that the client calls this server by. Raises ApiError (400) where the Host header is no address."""
    try:
        return request.url.host
    except ValueError:
        message = "the Host header is no address; send the name and port that are called, e.g. 127.0.0.1:8000"
        raise ApiError(400, message, code="invalid_host") from None


def malformed() -> ApiError:
    return ApiError(400, "the request is not valid HTTP; mend its first line and its headers", code="malformed_request")


def _refusal(error: ApiError) -> web.Response:
    """The error as the last answer of its connection."""
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    response = web.json_response(error.body, status=error.status, headers=headers)
    response.force_close()
    return response


def _response(status: str, error: ApiError, headers: Mapping[str, str]) -> bytes:
    body = json.dumps(error.body).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Retry-After: {error.retry_after_s}\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode() + body

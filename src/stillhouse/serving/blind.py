"""The page on which a person says which of two answers is better.

It is served on this machine alone, at an address that holds a random token. A request without the token, to another
host name, or from a page of another site finds nothing. The page gets texts and counts: this module does not know
which system wrote which answer. The page loads nothing from anywhere.
"""

import asyncio
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Protocol

from aiohttp import web

from stillhouse.errors import StorageError
from stillhouse.serving.connections import Connections
from stillhouse.stopping import signals_to

MOST_BYTES = 2**14  # most bytes of a request's body: a choice is a few bytes
HOST = "127.0.0.1"
STOP_S = 1.5  # how long the page may take to end
CHOICES = ("left", "right", "tie", "both bad")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BlindSession(Protocol):
    """What the page shows and changes. `shown` gives a dataclass of texts and counts (`comparison.rating_session`)."""

    def shown(self) -> Any: ...

    def choose(self, item: int, choice: Any) -> bool: ...

    def undo(self) -> bool: ...


class BlindServer:
    """The page and its calls. `page` makes the HTML for a nonce; scripts and styles without the nonce do not run."""

    def __init__(self, session: BlindSession, page: Callable[[str], str], token: str) -> None:
        self.session, self.page, self.token = session, page, token
        self.finished = asyncio.Event()
        self.failed: StorageError | None = None  # why a choice could not be kept

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BYTES, middlewares=[self._guard])
        app.router.add_get("/{token}/", self._show)
        app.router.add_get("/{token}/pair", self._pair)
        app.router.add_post("/{token}/choice", self._choose)
        app.router.add_post("/{token}/undo", self._undo)
        app.router.add_post("/{token}/finish", self._finish)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """404 for a request without the token, from a page of another site, or to another name than this machine's own.

        Another name may be that of a web page, pointed at this machine by the page's owner (DNS rebinding).
        """
        has_token = hmac.compare_digest(request.match_info.get("token", "").encode(), self.token.encode())
        try:
            own_names = {f"{name}:{request.url.port}" for name in (HOST, "localhost")}
        except ValueError:  # the Host header is no address
            raise web.HTTPBadRequest from None
        own_origin = f"http://{request.host}"
        from_own_page = request.headers.get("Origin", own_origin) == own_origin
        if not has_token or request.host not in own_names or not from_own_page:
            raise web.HTTPNotFound
        if request.method == "POST" and request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType
        response = await handler(request)
        response.headers.update(
            {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
        )
        return response

    async def _show(self, _: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(16)
        own = f"'nonce-{nonce}'"
        policy = (
            f"default-src 'none'; script-src {own}; style-src {own}; connect-src 'self'; img-src data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": policy}
        return web.Response(text=self.page(nonce), content_type="text/html", charset="utf-8", headers=headers)

    async def _pair(self, _: web.Request) -> web.Response:
        return web.json_response(asdict(self.session.shown()))

    async def _choose(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())  # as UTF-8, whatever charset the header names
            item, choice = body["item"], body["choice"]
        except (ValueError, KeyError, TypeError, RecursionError):
            # The body is not JSON, or not an object with the two fields.
            raise web.HTTPBadRequest from None
        if not isinstance(item, int) or isinstance(item, bool) or choice not in CHOICES:
            raise web.HTTPBadRequest
        return self._answer(self._kept(lambda: self.session.choose(item, choice)))

    async def _undo(self, _: web.Request) -> web.Response:
        return self._answer(self._kept(self.session.undo))

    def _answer(self, kept: bool) -> web.Response:
        """The pair to show now; 409 where what was sent did not fit what was shown."""
        return web.json_response(asdict(self.session.shown()), status=200 if kept else 409)

    def _kept(self, act: Callable[[], bool]) -> bool:
        try:
            return act()
        except StorageError as error:
            # The page says that this choice was not kept. The server stops, and `serve_blind` raises the reason.
            self.failed = error
            self.finished.set()
            raise web.HTTPInsufficientStorage from None

    async def _finish(self, _: web.Request) -> web.Response:
        self.finished.set()
        return web.json_response({"finished": True})


async def serve_blind(
    session: BlindSession, page: Callable[[str], str], *, port: int = 0, on_ready: Callable[[str], None]
) -> None:
    """Serve the page until the person is done, or until SIGINT or SIGTERM.

    Call it in the main thread. `on_ready` gets the page's address. `port` 0 takes a free port. Raises UserError
    where the port cannot be listened on, StorageError where a choice could not be kept.
    """
    server = BlindServer(session, page, secrets.token_urlsafe(24))
    connections = Connections(server.app())
    try:
        bound_port = await connections.listen(HOST, port, remedy="choose another --port")
        with signals_to(server.finished.set):
            on_ready(f"http://{HOST}:{bound_port}/{server.token}/")
            await server.finished.wait()
    finally:
        await connections.stop(STOP_S)
    if server.failed is not None:
        raise server.failed

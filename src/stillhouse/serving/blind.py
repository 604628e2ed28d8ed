"""The page on which a person says which of two answers is better, served to this machine alone and to whoever has its address.

The address holds a random token; without it, from another host name, or from a page of another site, there is nothing here. What the page gets is texts and
counts: which system wrote which answer is not known to this module. Nothing is loaded from anywhere.
"""

import asyncio
import hmac
import json
import secrets
import signal
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Protocol

from aiohttp import web

from stillhouse.errors import StorageError, UserError

MOST_BYTES = 2**14  # of a body: a choice is a few bytes
HOST = "127.0.0.1"
CHOICES = ("left", "right", "tie", "both bad")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BlindSession(Protocol):
    """What the page is a face of; `shown` gives a dataclass of texts and counts (see `comparison.rating_session`)."""

    def shown(self) -> Any: ...

    def choose(self, item: int, choice: Any) -> bool: ...

    def undo(self) -> bool: ...


class BlindServer:
    """The page and its three calls. `page` makes the HTML for a nonce, under which alone scripts and styles may run."""

    def __init__(self, sitting: BlindSession, page: Callable[[str], str], token: str) -> None:
        self.sitting, self.page, self.token = sitting, page, token
        self.finished, self.failed = asyncio.Event(), None

    failed: StorageError | None

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
        """Not found, for whoever lacks the token or comes by another name than this machine's own (a name that was rebound to it)."""
        names = {f"{name}:{request.url.port}" for name in (HOST, "localhost")}
        known = hmac.compare_digest(request.match_info.get("token", "").encode(), self.token.encode())
        foreign = request.headers.get("Origin", f"http://{request.host}") != f"http://{request.host}"
        if not known or request.host not in names or foreign:
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
        policy = f"default-src 'none'; script-src {own}; style-src {own}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
        headers = {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
        return web.Response(text=self.page(nonce), content_type="text/html", charset="utf-8", headers=headers)

    async def _pair(self, _: web.Request) -> web.Response:
        return web.json_response(asdict(self.sitting.shown()))

    async def _choose(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.text())
            item, choice = body["item"], body["choice"]
        except (
            ValueError,
            KeyError,
            TypeError,
            RecursionError,
        ):  # no JSON, no object of these two, brackets without end
            raise web.HTTPBadRequest from None
        if not isinstance(item, int) or isinstance(item, bool) or choice not in CHOICES:
            raise web.HTTPBadRequest
        return self._answer(self._kept(lambda: self.sitting.choose(item, choice)))

    async def _undo(self, _: web.Request) -> web.Response:
        return self._answer(self._kept(self.sitting.undo))

    def _answer(self, kept: bool) -> web.Response:
        """The pair to show now; 409 where what was sent did not fit what was shown."""
        return web.json_response(asdict(self.sitting.shown()), status=200 if kept else 409)

    def _kept(self, act: Callable[[], bool]) -> bool:
        try:
            return act()
        except StorageError as error:  # nothing more can be kept: the page says that this choice was not, and the command ends with the reason
            self.failed = error
            self.finished.set()
            raise web.HTTPInsufficientStorage from None

    async def _finish(self, _: web.Request) -> web.Response:
        self.finished.set()
        return web.json_response({"finished": True})


async def serve_blind(
    sitting: BlindSession, page: Callable[[str], str], *, port: int = 0, on_ready: Callable[[str], None]
) -> None:
    """Serve the page until the person says so, or SIGINT or SIGTERM. `on_ready` gets its address; `port` 0 takes a free one.

    To be called in the main thread. Raises UserError where the port cannot be had, StorageError where a choice could not be kept.
    """
    server = BlindServer(sitting, page, secrets.token_urlsafe(24))
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=2.0)
    loop = asyncio.get_running_loop()
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except (OSError, OverflowError) as error:
            raise UserError(
                f"cannot listen on {HOST} port {port} ({getattr(error, 'strerror', None) or error}); choose another --port"
            ) from None
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.finished.set)
        on_ready(f"http://{HOST}:{runner.addresses[0][1]}/{server.token}/")
        await server.finished.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        await runner.cleanup()
    if server.failed is not None:
        raise server.failed

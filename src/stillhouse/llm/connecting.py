"""How a connection to an endpoint is made: directly, or through the environment's proxy.

https goes through a tunnel (CONNECT). http is asked of the proxy itself, with the whole address in the request.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import TypeVar

from stillhouse.proxies import Proxy, trusted

P = TypeVar("P", bound=asyncio.Protocol)


class _Tunnel(asyncio.Protocol):
    """A connection to a proxy, until it is through to the host."""

    _HEAD = 65_536  # bytes; no proxy's answer is longer

    def __init__(self) -> None:
        self._head = b""
        self.through: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self.through.done():
            return
        if b"\r\n\r\n" in self._head:
            status = self._head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")[2]
            if status.startswith("2"):
                self.through.set_result(None)
            else:
                self._fail(f"refuses the tunnel ({status[:100]})")
        elif len(self._head) > self._HEAD:
            self._fail("does not speak HTTP")

    def connection_lost(self, error: Exception | None) -> None:
        if not self.through.done():
            self._fail("broke off the connection")

    def _fail(self, why: str) -> None:
        self.through.set_exception(ConnectionError(why))


async def connect(make: Callable[[], P], host: str, port: int, *, secure: bool, proxy: Proxy | None) -> P:
    """The protocol that `make` makes, connected to the host or, for http through a proxy, to the proxy.

    Raises OSError; where a proxy is to blame it is named. `ssl.SSLCertVerificationError` is one.
    """
    if proxy is None:
        context = trusted() if secure else None
        _, connection = await asyncio.get_running_loop().create_connection(make, host, port, ssl=context)
        return connection
    try:
        return await _through(proxy, make, host, port, secure=secure)
    except ssl.SSLCertVerificationError:
        raise
    except OSError as error:
        raise ConnectionError(f"the proxy {proxy.shown}: {error}") from None


async def _through(proxy: Proxy, make: Callable[[], P], host: str, port: int, *, secure: bool) -> P:
    loop, context = asyncio.get_running_loop(), trusted() if proxy.secure else None
    if not secure:
        _, connection = await loop.create_connection(make, proxy.host, proxy.port, ssl=context)
        return connection
    transport, tunnel = await loop.create_connection(_Tunnel, proxy.host, proxy.port, ssl=context)
    try:
        named = f"[{host}]" if ":" in host else host
        headers = {"Host": f"{named}:{port}", **proxy.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        transport.write(f"CONNECT {named}:{port} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        await tunnel.through
        connection = make()
        inner = await loop.start_tls(transport, connection, trusted(), server_hostname=host)
    except BaseException:
        transport.abort()
        raise
    assert inner is not None
    connection.connection_made(inner)
    return connection

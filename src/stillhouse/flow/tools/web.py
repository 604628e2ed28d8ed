"""A tool that reads pages of the hosts that are named to it, and of no others.

There are two checks, and neither relies on the other. The host of every URL, also of every redirect, must be on the
allow-list. And the address of every connection must be a public one. The second check stands where the socket is
opened, so a name that resolves to another address after it was looked at (DNS rebinding) gains nothing.
"""

import asyncio
import codecs
import ipaddress
import re
import socket
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from stillhouse import __version__
from stillhouse.errors import UserError
from stillhouse.flow.tools.html_text import html_text
from stillhouse.flow.tools.tool import Tool, ToolError, first_line, in_thread, tool
from stillhouse.proxies import proxy_for, trusted

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, TCPConnector
    from yarl import URL

MAX_REDIRECTS = 5
MAX_URL_CHARS = 4_000
_REDIRECTS = (301, 302, 303, 307, 308)
_HTML = ("text/html", "application/xhtml+xml")
_TEXT = re.compile(r"text/.*|application/(?:.*\+)?(?:json|xml)|application/(?:x-ndjson|jsonl|yaml|toml|javascript)")
# Addresses outside the link-local block where clouds answer questions about the machine itself.
_METADATA = tuple(
    ipaddress.ip_address(address) for address in ("168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254")
)
# Not for the public internet either, whatever this Python's ipaddress says: relays to 6to4, documentation, SRv6.
_NOT_PUBLIC = tuple(ipaddress.ip_network(block) for block in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20"))
_PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")  # all that was ever given out; fec0::/10 (site-local) is not in it
# By Python's names. Others of its codecs run for minutes on a page (punycode), or are no text at all (zip).
_CODEC_NAMES = """
    utf-8 utf-16-le utf-16-be ascii koi8-r koi8-u mac-roman tis-620 shift_jis cp932 euc_jp euc_kr cp949 gb2312 gbk
    gb18030 big5 big5hkscs cp950 cp866 cp874
"""
_CODECS = frozenset(
    {*_CODEC_NAMES.split(), *(f"iso8859-{part}" for part in range(1, 17)), *(f"cp{page}" for page in range(1250, 1259))}
)
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


def web(
    allow: Sequence[str],
    *,
    allow_private: bool = False,
    max_bytes: int = 2_000_000,
    timeout_s: float = 20.0,
    max_chars: int = 20_000,
    name: str = "web",
) -> Tool:
    """A tool that gets one page over HTTP or HTTPS and gives its text.

    `allow`: hosts, each as `example.com`, `*.example.com` (every host below it, not itself) or, for another port than
    80 and 443, `example.com:8080`. Private and loopback addresses are refused unless `allow_private`; link-local ones
    and the clouds' metadata services always are. Of a longer page the first `max_bytes`, unpacked, are read. No
    cookies, no keys. A page that the environment wants read through a proxy is refused, because there no address could
    be checked; NO_PROXY names what is read directly. Raises UserError where the list is empty or an entry is no host.
    """
    if isinstance(allow, str) or not allow:
        raise UserError(
            f"web was given {allow!r} to allow; name the hosts that may be read, as in web(['docs.python.org'])"
        )
    hosts = tuple(_AllowedHost(entry) for entry in allow)

    async def read(url: Annotated[str, Field(description="the page's address, http:// or https://")]) -> str:
        page = _Page(hosts, allow_private, max_bytes)
        return await page.read(url)

    read.__doc__ = f"Read a page of the web as text. These hosts can be read: {', '.join(allow)}."
    return tool(read, name=name, timeout_s=timeout_s, max_chars=max_chars)


class _AllowedHost:
    """One entry of the allow-list."""

    def __init__(self, entry: str) -> None:
        parts = re.fullmatch(r"(?P<host>\[[^\]]+\]|[^:]+):(?P<port>\d{1,5})", entry)
        host = parts["host"] if parts else entry
        self.below = host.startswith("*.")
        self.host = _plain(host.removeprefix("*."))
        self.ports = (int(parts["port"]),) if parts else (80, 443)
        if not re.fullmatch(r"[\w.:-]+", self.host) or "*" in self.host:
            raise UserError(
                f"{entry!r} is no host that web can allow; write it as example.com, *.example.com or example.com:8080"
            )

    def covers(self, host: str, port: int) -> bool:
        return port in self.ports and (host.endswith(f".{self.host}") if self.below else host == self.host)


def _plain(host: str) -> str:
    """A host as it is compared: in lower case, a non-ASCII name as ASCII (IDNA), no brackets, no dot at the end."""
    from yarl import URL

    bare = host.strip().removeprefix("[").removesuffix("]").rstrip(".")
    try:
        return (URL.build(scheme="http", host=bare).raw_host or "").lower()
    except ValueError:
        return ""


def refused_address(address: str, allow_private: bool) -> bool:
    """Whether no connection may be made to this IP address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None or ip in _NAT64:
            return refused_address(str(ipaddress.IPv4Address(ip.packed[-4:])), allow_private)
        if ip.sixtofour is not None or ip.teredo is not None:
            return True  # transition addresses that tunnel into IPv4 are long out of use, so they are refused
    if ip.is_loopback:
        return not allow_private
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved or ip in _METADATA:
        return True
    return not allow_private and not (
        ip.is_global
        and (ip.version == 4 or ip in _PUBLIC_IPV6)
        and not any(ip.version == block.version and ip in block for block in _NOT_PUBLIC)
    )


class _RefusedAddress(OSError):
    pass


class _Page:
    """One page on its way in."""

    def __init__(self, hosts: Sequence[_AllowedHost], allow_private: bool, max_bytes: int) -> None:
        self.hosts, self.allow_private, self.max_bytes = hosts, allow_private, max_bytes

    async def read(self, text: str) -> str:
        import aiohttp

        url = self._vetted(text)
        headers = {
            "User-Agent": f"stillhouse/{__version__}",
            "Accept": "text/html, text/*, application/json",
            "Accept-Encoding": "gzip, deflate",
        }
        # Compressed bodies are unpacked here, in bounded pieces, and not by aiohttp.
        session = aiohttp.ClientSession(
            connector=self._connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        try:
            async with session:
                return await self._follow(session, url)
        except aiohttp.ClientConnectorDNSError:
            raise ToolError(f"the host {url.host} has no address; check its spelling") from None
        except aiohttp.ClientError as error:
            refused = getattr(error, "os_error", None)
            if isinstance(refused, _RefusedAddress):
                raise ToolError(
                    f"{_short(url)} leads to a private address ({refused}), which web does not read"
                ) from None
            raise ToolError(f"{_short(url)} cannot be read ({first_line(error) or type(error).__name__})") from None

    async def _follow(self, session: "ClientSession", url: "URL") -> str:
        for _ in range(MAX_REDIRECTS + 1):
            _require_direct(url)
            async with session.get(url, allow_redirects=False) as response:
                if response.status in _REDIRECTS and "Location" in response.headers:
                    url = self._vetted(response.headers["Location"], since=url)
                    continue
                if response.status >= 400:
                    raise ToolError(f"{_short(url)} answered {response.status} {response.reason or ''}".strip())
                return await self._text(response, url)
        raise ToolError(f"{_short(url)} is reached by more than {MAX_REDIRECTS} redirects, and was given up")

    def _vetted(self, text: str, since: "URL | None" = None) -> "URL":
        """The URL, if it may be read. Raises ToolError."""
        from yarl import URL

        if len(text) > MAX_URL_CHARS:
            raise ToolError(f"the URL has {len(text):,} characters; at most {MAX_URL_CHARS:,} are taken")
        try:
            url = URL(text.strip()) if since is None else since.join(URL(text))
            host, port = _plain(url.raw_host or ""), url.port
        except ValueError:
            host, port = "", None
        where, which = ("", "") if since is None else (f"{_short(since)} redirects to ", ", which")
        if not host or url.scheme not in ("http", "https") or port is None:
            raise ToolError(f"{where}{text[:200]!r}{which} is no http:// or https:// address")
        if url.user is not None or url.password is not None:
            raise ToolError(f"{where}an address with a user or a password in it; leave them out")
        if not any(allowed.covers(host, port) for allowed in self.hosts):
            raise ToolError(f"{where}{host} (port {port}){which} is not on the list of hosts that may be read")
        return url.with_fragment(None)

    def _connector(self) -> "TCPConnector":
        from aiohttp import TCPConnector

        def open_socket(address: Any) -> socket.socket:
            family, kind, protocol, _, where = address
            if refused_address(where[0], self.allow_private):
                raise _RefusedAddress(str(where[0]))
            return socket.socket(family=family, type=kind, proto=protocol)

        return TCPConnector(socket_factory=open_socket, use_dns_cache=False, force_close=True, ssl=trusted())

    async def _text(self, response: "ClientResponse", url: "URL") -> str:
        kind = response.content_type.lower() if "Content-Type" in response.headers else ""
        if kind not in _HTML and not _TEXT.fullmatch(kind):
            raise ToolError(f"{_short(url)} is {kind or 'of no stated type'}; only text can be read")
        body, whole = await self._body(response, url)
        # The page is parsed in a thread, because a broken page can keep the parser busy for long.
        read = html_text if kind in _HTML else str
        text = await in_thread(lambda: read(_decoded(body, response.charset)))
        return text if whole else f"{text}\n[cut: the page is longer than {self.max_bytes:,} bytes]"

    async def _body(self, response: "ClientResponse", url: "URL") -> tuple[bytes, bool]:
        """At most `max_bytes` of the unpacked body, and whether that is all of it."""
        packing = response.headers.get("Content-Encoding", "identity").lower()
        if packing not in ("identity", "gzip", "x-gzip", "deflate"):
            raise ToolError(f"{_short(url)} is packed as {packing[:40]}, which web did not ask for and cannot unpack")
        unpack = None if packing == "identity" else zlib.decompressobj(zlib.MAX_WBITS | 32)
        body = bytearray()
        async for piece in response.content.iter_chunked(65_536):
            try:
                body += piece if unpack is None else unpack.decompress(piece, self.max_bytes + 1 - len(body))
            except zlib.error:
                raise ToolError(f"{_short(url)} is said to be packed as {packing} and is not") from None
            if len(body) > self.max_bytes:
                return bytes(body[: self.max_bytes]), False
            await asyncio.sleep(0)  # let the loop run: a fast sender must not keep it from noticing the time limit
        return bytes(body), True


def _decoded(body: bytes, charset: str | None) -> str:
    """The body as text: by its byte order mark, else the charset that the server states, else the page, else UTF-8.

    Bytes that do not fit it are replaced.
    """
    for mark, codec in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(codec, errors="replace")
    stated = re.search(rb"<meta[^>]{0,200}charset=[\"']?([\w-]{1,40})", body[:2048], re.IGNORECASE)
    page_codec = _codec(stated[1].decode()) if stated else None
    if page_codec is not None and page_codec.startswith("utf-16"):
        page_codec = None  # what was read as ASCII cannot be UTF-16
    return body.decode(_codec(charset) or page_codec or "utf-8", errors="replace")


def _codec(charset: str | None) -> str | None:
    """The codec of a stated charset; None where web does not read it."""
    try:
        codec = codecs.lookup((charset or "")[:40]).name
    except (LookupError, ValueError):
        return None
    if codec == "utf-16":
        return "utf-16-le"  # without a mark, as browsers take it
    return codec if codec in _CODECS else None


def _require_direct(url: "URL") -> None:
    """Raise ToolError where the environment wants the page read through a proxy.

    The proxy would look the name up itself, so nobody here could tell whether it leads to a private address.
    """
    try:
        proxy = proxy_for(str(url))
    except UserError as error:
        raise ToolError(str(error)) from None
    if proxy is not None:
        raise ToolError(
            f"the environment wants {url.host} to be read through the proxy {proxy.shown}, and web reads directly: "
            "behind a proxy it could not check that no private address is read; name the host in NO_PROXY"
        )


def _short(url: "URL") -> str:
    """A URL as errors show it: without its query, which may hold what nobody should read in a log."""
    return str(url.with_query(None).with_fragment(None))[:200]

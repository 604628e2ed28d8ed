"""The web tool against a server on loopback that misbehaves in every way, and against addresses that it must not touch."""

import asyncio
import gzip
import socket
import sys
import zlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from stillhouse.errors import UserError
from stillhouse.flow.tools import ToolError, web
from stillhouse.flow.tools.web import refused_address

MB = 1_000_000
BOMB = gzip.compress(bytes(200 * MB), 9)  # 200 MB in 200 kB


class Server:
    """Answers a path with what is set for it: the whole response, or a coroutine that writes it."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.answers: dict[str, bytes] = {}
        self.port = 0

    def set(
        self,
        path: str,
        body: bytes = b"",
        *,
        status: str = "200 OK",
        kind: str | None = "text/plain",
        length: bool = True,
        **headers: str,
    ) -> None:
        lines = [
            f"HTTP/1.1 {status}",
            *([f"Content-Type: {kind}"] if kind else []),
            *([f"Content-Length: {len(body)}"] if length else []),
            "Connection: close",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.answers[path] = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(request)
        path = request.split()[1].decode().partition("?")[0]
        try:
            writer.write(
                self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            )
            await writer.drain()
            while path in ("/endless", "/slow"):
                writer.write(b"x" * 65_536 if path == "/endless" else b"x")
                await writer.drain()
                await asyncio.sleep(0 if path == "/endless" else 0.01)
            if path == "/silent":
                await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield made


def reading(server, **options):
    return web([f"127.0.0.1:{server.port}"], **{"allow_private": True, "timeout_s": 5.0, **options})


async def get(called, url):
    return await called.call({"url": url})


async def refusal(called, url):
    with pytest.raises(ToolError) as found:
        await called.call({"url": url})
    return str(found.value)


async def test_a_page_is_read_as_text(server):
    server.set(
        "/page", "<title>Café</title><script>no()</script><p>Open until 18:00".encode(), kind="text/html; charset=utf-8"
    )
    server.set("/data", b'{"a": 1}', kind="application/json")
    server.set("/packed", gzip.compress(b"packed text"), Content_Encoding="gzip")
    server.set("/deflated", zlib.compress(b"deflated text"), Content_Encoding="deflate")
    called, base = reading(server), f"http://127.0.0.1:{server.port}"
    assert called.description == f"Read a page of the web as text. These hosts can be read: 127.0.0.1:{server.port}."
    assert await get(called, f" {base}/page#part ") == "Café\n\nOpen until 18:00"
    assert await get(called, f"{base}/data") == '{"a": 1}'
    assert await get(called, f"{base}/packed") == "packed text"
    assert await get(called, f"{base}/deflated") == "deflated text"
    request = server.asked[0].decode().lower()
    assert request.startswith("get /page http/1.1")
    assert "cookie" not in request
    assert "authorization" not in request


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("é".encode("latin-1"), "text/plain; charset=latin-1", "é"),
        ("<meta charset='iso-8859-15'>é €".encode("iso-8859-15"), "text/html", "é €"),
        (b"\xff\xff", "text/plain", "\ufffd\ufffd"),
        ("Привет".encode("koi8-r"), "text/plain; charset=KOI8-R", "Привет"),
        ("日本".encode("shift_jis"), "text/plain; charset=shift_jis", "日本"),
        ("日本".encode("euc-jp"), "text/plain; charset=EUC-JP", "日本"),
        ("中文".encode("big5"), "text/plain; charset=big5", "中文"),
        ("中文".encode("gb18030"), "text/plain; charset=gb18030", "中文"),
        ("€".encode("cp1252"), "text/plain; charset=windows-1252", "€"),
        ("é日".encode("utf-16"), "text/plain", "é日"),
        ("é日".encode("utf-16-le"), "text/plain; charset=utf-16", "é日"),
        ("é日".encode("utf-16-be"), "text/plain; charset=utf-16be", "é日"),
        (b"\xfe\xff" + "é日".encode("utf-16-be"), "text/plain; charset=latin-1", "é日"),
        (b"\xef\xbb\xbf" + "é".encode(), "text/plain; charset=latin-1", "é"),
        ("<meta charset='utf-16'>é".encode(), "text/html", "é"),
        ("<meta charset='punycode'>é".encode(), "text/html", "é"),
        ("é-a".encode(), "text/plain; charset=punycode", "é-a"),
        ("é".encode(), "text/plain; charset=idna", "é"),
        (b"+AOk-", "text/plain; charset=utf-7", "+AOk-"),
        (b"\\u00e9", "text/plain; charset=unicode_escape", "\\u00e9"),
        ("é".encode(), "text/plain; charset=rot13", "é"),
        ("é".encode(), "text/plain; charset=zip", "é"),
        ("é".encode(), "text/plain; charset=undefined", "é"),
        ("é".encode(), "text/plain; charset=no-such", "é"),
        ("é".encode(), "application/ld+json", "é"),
    ],
)
async def test_charsets_are_taken_as_stated_or_as_utf_8(server, body, kind, text):
    server.set("/page", body, kind=kind)
    assert await get(reading(server), f"http://127.0.0.1:{server.port}/page") == text


async def test_what_is_no_page_is_said(server):
    base = f"http://127.0.0.1:{server.port}"
    server.set("/image", b"\x89PNG", kind="image/png")
    server.set("/untyped", b"text", kind=None)
    server.set("/broken", b"no gzip", Content_Encoding="gzip")
    server.set("/brotli", b"?", Content_Encoding="br")
    server.set("/sorry", b"", status="503 Service Unavailable")
    server.answers["/junk"] = b"SSH-2.0-OpenSSH\r\n"
    called = reading(server)
    assert await refusal(called, f"{base}/image") == f"{base}/image is image/png; only text can be read"
    assert await refusal(called, f"{base}/untyped") == f"{base}/untyped is of no stated type; only text can be read"
    assert await refusal(called, f"{base}/broken") == f"{base}/broken is said to be packed as gzip and is not"
    assert (
        await refusal(called, f"{base}/brotli")
        == f"{base}/brotli is packed as br, which web did not ask for and cannot unpack"
    )
    assert await refusal(called, f"{base}/sorry?key=secret") == f"{base}/sorry answered 503 Service Unavailable"
    assert await refusal(called, f"{base}/none") == f"{base}/none answered 404 Not Found"
    assert (await refusal(called, f"{base}/junk")).startswith(f"{base}/junk cannot be read (")


async def test_a_long_page_is_cut_with_a_notice(server):
    server.set("/long", b"x" * 5_000)
    server.set("/bomb", BOMB, Content_Encoding="gzip")
    server.set("/endless", kind="text/plain", length=False)
    called, base = reading(server, max_bytes=1_000), f"http://127.0.0.1:{server.port}"
    assert await get(called, f"{base}/long") == "x" * 1_000 + "\n[cut: the page is longer than 1,000 bytes]"
    assert await get(called, f"{base}/bomb") == "\0" * 1_000 + "\n[cut: the page is longer than 1,000 bytes]"
    assert await get(called, f"{base}/endless") == "x" * 1_000 + "\n[cut: the page is longer than 1,000 bytes]"
    assert (
        await get(reading(server, max_chars=10), f"{base}/long")
        == "x" * 10 + "\n[cut: 4,990 of 5,000 characters are left out]"
    )


async def test_a_slow_page_is_given_up(server):
    server.set("/slow", kind="text/plain", length=False)
    server.answers["/silent"] = b""
    called, base = reading(server, timeout_s=0.2), f"http://127.0.0.1:{server.port}"
    assert await refusal(called, f"{base}/slow") == "web took longer than 0.2 s and was given up; ask for less"
    assert await refusal(called, f"{base}/silent") == "web took longer than 0.2 s and was given up; ask for less"


async def test_redirects_are_followed_and_each_is_looked_at_again(server):
    base = f"http://127.0.0.1:{server.port}"
    server.set("/old", status="301 Moved Permanently", Location="/new")
    server.set("/new", b"here")
    server.set("/out", status="302 Found", Location="http://evil.example/")
    server.set("/port", status="302 Found", Location="http://127.0.0.1:22/")
    server.set("/file", status="302 Found", Location="file:///etc/passwd")
    server.set("/who", status="302 Found", Location=f"http://127.0.0.1:{server.port}@evil.example/")
    server.set("/loop", status="307 Temporary Redirect", Location="/loop")
    called = reading(server)
    assert await get(called, f"{base}/old") == "here"
    assert (
        await refusal(called, f"{base}/out")
        == f"{base}/out redirects to evil.example (port 80), which is not on the list of hosts that may be read"
    )
    assert (
        await refusal(called, f"{base}/port")
        == f"{base}/port redirects to 127.0.0.1 (port 22), which is not on the list of hosts that may be read"
    )
    assert (
        await refusal(called, f"{base}/file")
        == f"{base}/file redirects to 'file:///etc/passwd', which is no http:// or https:// address"
    )
    assert (
        await refusal(called, f"{base}/who")
        == f"{base}/who redirects to an address with a user or a password in it; leave them out"
    )
    assert await refusal(called, f"{base}/loop") == f"{base}/loop is reached by more than 5 redirects, and was given up"


async def test_a_redirect_to_a_private_address_is_not_followed_though_its_name_is_allowed(server, monkeypatch):
    """The server plays a public page here, which leads to a name that resolves to an inner address."""
    base = f"http://127.0.0.1:{server.port}"
    names(monkeypatch, {"inside.example": "127.0.0.2"})
    monkeypatch.setattr(
        sys.modules["stillhouse.flow.tools.web"], "refused_address", lambda address, _: address == "127.0.0.2"
    )
    server.set("/out", status="302 Found", Location="http://inside.example/secret")
    called = web([f"127.0.0.1:{server.port}", "inside.example"])
    assert (
        await refusal(called, f"{base}/out")
        == f"{base}/out leads to a private address (127.0.0.2), which web does not read"
    )
    assert len(server.asked) == 1


async def test_this_machine_is_not_read_unless_that_is_allowed(server):
    called = web([f"127.0.0.1:{server.port}", f"localhost:{server.port}"])
    for host in ("127.0.0.1", "localhost"):
        url = f"http://{host}:{server.port}/secret"
        assert (await refusal(called, url)).startswith(f"{url} leads to a private address (")
    assert server.asked == []


def names(monkeypatch, addresses):
    """A resolver of the test's own."""
    real = socket.getaddrinfo

    def resolve(host, port, *rest, **options):
        name = host.decode() if isinstance(host, bytes) else host
        if name not in addresses:
            return real(host, port, *rest, **options)
        answer = addresses[name]
        return real(answer() if callable(answer) else answer, port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


async def test_a_name_that_changes_its_address_gains_nothing(server, monkeypatch):
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1", "127.0.0.1"])
    names(monkeypatch, {"rebind.example": lambda: next(answers)})
    socket.getaddrinfo("rebind.example", 80)  # whoever looked at the name before saw a public address
    called = web([f"rebind.example:{server.port}"])
    assert "leads to a private address (127.0.0.1)" in await refusal(called, f"http://rebind.example:{server.port}/")
    assert server.asked == []


async def test_hosts_are_those_of_the_list_and_no_others():
    called = web(["example.com", "*.docs.example", "bücher.example", "[2606:2800:21f::1]"])
    for url, sentence in [
        ("http://example.org/", "example.org (port 80) is not on the list of hosts that may be read"),
        ("http://example.com.evil.org/", "example.com.evil.org (port 80) is not on the list of hosts that may be read"),
        ("http://evilexample.com/", "evilexample.com (port 80) is not on the list of hosts that may be read"),
        ("http://sub.example.com/", "sub.example.com (port 80) is not on the list of hosts that may be read"),
        ("http://docs.example/", "docs.example (port 80) is not on the list of hosts that may be read"),
        ("http://example.com:8080/", "example.com (port 8080) is not on the list of hosts that may be read"),
        ("http://example.com@evil.org/", "an address with a user or a password in it; leave them out"),
        ("http://evil.org\\@example.com/", "'http://evil.org\\\\@example.com/' is no http:// or https:// address"),
        ("ftp://example.com/", "'ftp://example.com/' is no http:// or https:// address"),
        ("file:///etc/passwd", "'file:///etc/passwd' is no http:// or https:// address"),
        ("example.com", "'example.com' is no http:// or https:// address"),
        ("http://", "'http://' is no http:// or https:// address"),
        ("http://[::1", "'http://[::1' is no http:// or https:// address"),
        ("http://example.com:99999/", "'http://example.com:99999/' is no http:// or https:// address"),
        ("javascript:alert(1)", "'javascript:alert(1)' is no http:// or https:// address"),
        ("", "'' is no http:// or https:// address"),
        ("http://example.com/" + "a" * 5_000, "the URL has 5,019 characters; at most 4,000 are taken"),
    ]:
        assert await refusal(called, url) == sentence


async def test_a_host_is_compared_as_it_is_connected_to(server, monkeypatch):
    names(monkeypatch, {"a.docs.example": "127.0.0.1", "xn--bcher-kva.example": "127.0.0.1"})
    server.set("/", b"here")
    called = web([f"*.Docs.Example:{server.port}", f"bücher.example:{server.port}"], allow_private=True)
    assert await get(called, f"http://A.DOCS.example:{server.port}/") == "here"
    assert await get(called, f"http://BÜCHER.example:{server.port}/") == "here"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::1", "::",
     "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
     "2001:0:4136:e378:8000:63bf:3fff:fdd2", "168.63.129.16", "100.100.100.200", "198.18.0.1", "2001:db8::1",
     "fec0::1", "feff::1", "3fff::1", "5f00::1", "64:ff9b:1::1", "100::1", "4000::1", "::7f00:1", "192.88.99.1", "192.0.0.9", "240.0.0.1"],
)  # fmt: skip
def test_private_addresses_are_refused(address):
    assert refused_address(address, allow_private=False)


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses_are_not(address):
    assert not refused_address(address, allow_private=False)
    assert not refused_address(address, allow_private=True)


def test_what_may_be_allowed_is_private_and_loopback_and_never_the_clouds_metadata():
    for address in ("127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "fc00::1", "::ffff:127.0.0.1", "100.64.0.1"):
        assert not refused_address(address, allow_private=True)
    for address in (
        "169.254.169.254",
        "fe80::1",
        "168.63.129.16",
        "100.100.100.200",
        "fd00:ec2::254",
        "64:ff9b::a9fe:a9fe",
        "224.0.0.1",
        "0.0.0.0",
    ):
        assert refused_address(address, allow_private=True)


async def test_a_host_without_an_address_and_a_closed_port_are_said(monkeypatch):
    def nobody(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert (await refusal(web([f"127.0.0.1:{port}"], allow_private=True), f"http://127.0.0.1:{port}/")).startswith(
        f"http://127.0.0.1:{port}/ cannot be read ("
    )
    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    assert (
        await refusal(web(["no.example"]), "http://no.example/")
        == "the host no.example has no address; check its spelling"
    )


@pytest.mark.parametrize(
    "allow",
    [[], "example.com", ["https://example.com"], ["*"], ["exa mple.com"], [""], ["*.*.com"], ["example.com/path"]],
)
def test_a_list_that_names_no_hosts_is_the_users_mistake(allow):
    with pytest.raises(UserError):
        web(allow)

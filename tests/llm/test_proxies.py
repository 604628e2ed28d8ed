"""The environment's proxy and its certificates are honoured by every client of ours, against proxies on loopback."""

import asyncio
import contextlib
import ssl
import subprocess

import pytest

from stillhouse.errors import UserError
from stillhouse.flow.tools.mcp import mcp_tools
from stillhouse.flow.tools.tool import ToolError
from stillhouse.flow.tools.web import web
from stillhouse.gateway.server import Gateway
from stillhouse.llm.batch_http import BatchHttp
from stillhouse.llm.client import ChatClient
from stillhouse.llm.context import listed_window
from stillhouse.llm.limits import Limiter
from stillhouse.llm.request import Request, text_listener
from stillhouse.llm.transport import Transport
from stillhouse.proxies import proxy_for, trusted

BODY = b'{"data": [{"id": "m", "context_window": 77}], "choices": [{"message": {"content": "hi"}}]}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
HOST = "teacher.invalid"  # no name server knows it: only a proxy can lead there


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A throwaway authority that vouches for `HOST`: (certificate, key)."""
    folder = tmp_path_factory.mktemp("ca")
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem"), "-days", "2", "-subj", f"/CN={HOST}"]
    subprocess.run([*made, "-addext", f"subjectAltName=DNS:{HOST}"], check=True, capture_output=True)
    return folder / "ca.pem", folder / "key.pem"


@contextlib.asynccontextmanager
async def proxying(certificate, refuses=False):
    """A proxy that answers plain requests itself and tunnels to one TLS server. Gives its port and the heads it read."""
    heads, writers = [], []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)

    async def answer(reader, writer):
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                assert b"Proxy-Authorization" not in await whole(reader)  # else it gets no answer
                writer.write(REPLY)

    async def whole(reader):
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
        return head

    async def pump(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def proxy(reader, writer):
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await whole(reader)
                heads.append(head.decode())
                if refuses:
                    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                elif head.startswith(b"CONNECT"):
                    there, away = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
                    writers.append(away)
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    await asyncio.gather(pump(reader, away), pump(there, writer))
                    return
                else:
                    writer.write(REPLY)

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    front = await asyncio.start_server(proxy, "127.0.0.1", 0)
    try:
        yield front.sockets[0].getsockname()[1], heads
    finally:
        for writer in writers:
            writer.close()
        front.close()
        server.close()


async def over_transport(url):
    transport = Transport(url, {"Authorization": "Bearer k"}, timeout_s=10, longest=10_000)
    try:
        for _ in range(2):
            status, _, body = await transport.post("chat/completions", b"{}")
            assert (status, body) == (200, BODY)
    finally:
        await transport.close()


async def over_stream(url):
    client = ChatClient(url, "m", "k", Limiter(1), attempts=1, timeout_s=10)
    token = text_listener.set(lambda _: None)
    try:
        reply = await client.complete(Request("m", ({"role": "user", "content": "hi"},), {}))
        assert reply.text == "hi", reply
    finally:
        text_listener.reset(token)
        await client.close()


async def over_batches(url):
    batches = BatchHttp(url, {}, None)
    try:
        assert "data" in await batches.get("batches/1")
        assert [row async for row in batches.lines("files/1/content")]
    finally:
        await batches.close()


async def over_models(url):
    assert await listed_window(url, "m", "k") == 77


class Unkept:
    n_lost, trouble = 0, None

    def put(self, call):
        assert call.status == 200


async def over_gateway(url):
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(Gateway([url], Unkept(), key=None).serve("127.0.0.1", 0, stop, ready.set_result))
    try:
        here = f"{await ready}/v1"
        with pytest.MonkeyPatch.context() as patched:  # the call to the gateway is direct
            patched.setenv("NO_PROXY", "127.0.0.1")
            await over_transport(here)
    finally:
        stop.set()
        await serving


CLIENTS = [over_transport, over_stream, over_batches, over_models, over_gateway]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_every_client_goes_through_the_environments_proxy(client, scheme, certificate, monkeypatch):
    async with proxying(certificate) as (port, heads):
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://me:p%40ss@127.0.0.1:{port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        await client(f"{scheme}://{HOST}/v1")
    assert heads
    for head in heads:
        begins = f"CONNECT {HOST}:443 " if scheme == "https" else (f"POST http://{HOST}/v1/", f"GET http://{HOST}/v1/")
        assert head.startswith(begins), head
        assert "Proxy-Authorization: Basic bWU6cEBzcw==" in head  # me:p@ss
        assert scheme == "http" or "Bearer" not in head  # the key goes through the tunnel alone


async def test_the_proxy_for_all_and_a_bundle_of_requests_hold_too(certificate, monkeypatch):
    async with proxying(certificate) as (port, heads):
        monkeypatch.setenv("all_proxy", f"127.0.0.1:{port}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
        await over_transport(f"https://{HOST}/v1")
        assert len(heads) == 1  # the tunnel is kept for the second request


async def test_a_certificate_that_nobody_vouches_for_is_refused_behind_a_proxy_too(certificate, monkeypatch):
    async with proxying(certificate) as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with pytest.raises(ssl.SSLCertVerificationError):
            await over_transport(f"https://{HOST}/v1")


async def test_a_proxy_that_refuses_is_named_without_its_password(certificate, monkeypatch):
    async with proxying(certificate, refuses=True) as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:s3cret@127.0.0.1:{port}")
        with pytest.raises(
            ConnectionError, match=f"the proxy http://127.0.0.1:{port}: refuses the tunnel .407"
        ) as told:
            await over_transport(f"https://{HOST}/v1")
        assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("", "http://a.example/", False),
        ("*", "http://a.example/", True),
        ("example", "http://a.example/", True),
        (".example", "http://a.example/", True),
        ("*.example", "http://a.example/", True),
        ("b.example, A.EXAMPLE", "http://a.example/", True),
        ("ample", "http://a.example/", False),
        ("a.example:8080", "http://a.example/", False),
        ("a.example:8080", "http://a.example:8080/", True),
        ("127.0.0.1", "http://127.0.0.1:9/", True),
        ("10.0.0.0/8", "http://10.1.2.3/", True),
        ("10.0.0.0/8", "http://11.1.2.3/", False),
        ("::1", "http://[::1]:9/", True),
        ("[::1]:9", "http://[::1]:9/", True),
        (",", "http://a.example/", False),
        ("b.example a.example", "http://a.example/", True),
        ("A.Example.", "http://a.example/", True),
        ("a.example", "http://a.example./", True),
        ("10.0.0.0/8:8080", "http://10.1.2.3:8080/", True),
        ("10.0.0.0/8:8080", "http://10.1.2.3:9/", False),
        ("10.0.0.0/8", "http://[::ffff:10.0.0.1]/", True),
        ("fd00::/8", "http://[fd00::1]:9/", True),
        ("b\u00fccher.example", "http://xn--bcher-kva.example/", True),
        ("xn--bcher-kva.example", "http://b\u00fccher.example/", True),
    ],
)
def test_no_proxy_names_hosts_domains_networks_and_ports(no_proxy, url, direct, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(url) is None) is direct


def test_an_ipv6_proxy_is_named_as_an_address(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://u:s3cret@[::1]:3128")
    assert proxy_for("https://a.example/").shown == "http://[::1]:3128"


@pytest.mark.parametrize("named", ["socks5://u:s3cret@h:1080", "http://u:s3cret@h:port", "http://"])
def test_a_proxy_that_cannot_be_used_is_refused_and_not_gone_past(named, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", named)
    with pytest.raises(UserError, match="HTTPS_PROXY") as refused:
        proxy_for("https://a.example/")
    assert "s3cret" not in str(refused.value)


def test_certificates_that_are_not_there_are_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(UserError, match="SSL_CERT_FILE"):
        trusted()
    (tmp_path / "none.pem").write_text("no certificate")
    with pytest.raises(UserError, match="SSL_CERT_FILE"):
        trusted()


async def test_the_web_tool_reads_nothing_through_a_proxy_where_no_address_can_be_checked(certificate, monkeypatch):
    async with proxying(certificate) as (port, heads):
        monkeypatch.setenv("HTTP_PROXY", f"http://me:s3cret@127.0.0.1:{port}")
        page = web([HOST, f"127.0.0.1:{port}"], allow_private=True)
        with pytest.raises(ToolError, match="NO_PROXY") as refused:
            await page(url=f"http://{HOST}/")
        assert heads == [] and "s3cret" not in str(refused.value)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # then it is read directly
        assert "hi" in await page(url=f"http://127.0.0.1:{port}/")


async def test_an_mcp_server_is_reached_through_the_proxy(certificate, monkeypatch):
    async with proxying(certificate) as (port, heads):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        with pytest.raises(UserError) as refused:  # what answers there is no MCP server
            async with mcp_tools(f"https://{HOST}/mcp?key=s3cret"):
                pass
    assert heads and heads[0].startswith(f"CONNECT {HOST}:443 ")
    assert "s3cret" not in str(refused.value)

"""HTTP as servers speak it, good and bad, against a server that sends exactly the bytes a test gives."""

import asyncio
import contextlib

import pytest

from stillhouse.llm.transport import TooLong, Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@contextlib.asynccontextmanager
async def serving(*replies, timeout_s=5.0, longest=1000):
    """A server whose n-th request gets the n-th reply: pieces of bytes, then the connection is closed where the last piece is None."""
    requests, connections = [], []
    left = iter(replies)

    async def client(reader, writer):
        connections.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                requests.append((head, await reader.readexactly(length)))
                for piece in next(left):
                    if piece is None:
                        writer.close()
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = Transport(
        f"http://127.0.0.1:{port}/v1/", {"Authorization": "Bearer k"}, timeout_s=timeout_s, longest=longest
    )
    try:
        yield transport, requests, connections
    finally:
        await transport.close()
        for writer in connections:
            writer.close()
        server.close()


async def test_a_request_is_whole_and_the_connection_is_kept_for_the_next():
    async with serving([OK], [OK]) as (transport, requests, connections):
        for body in (b"{}", b"[1]"):
            status, headers, raw = await transport.post("chat/completions", body)
            assert (status, headers["content-length"], raw) == (200, "2", b"hi")
    assert len(connections) == 1
    assert [body for _, body in requests] == [b"{}", b"[1]"]
    assert requests[0][0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Authorization: Bearer k\r\n" in requests[0][0]


@pytest.mark.parametrize(
    ("reply", "status", "body"),
    [
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", b"1\r\n!\r\n0\r\n\r\n"], 200, b"hi!"),
        ([OK[:10], OK[10:30], OK[30:]], 200, b"hi"),
        ([b"HTTP/1.1 200 OK\r\n\r\nto the end", b"!", None], 200, b"to the end!"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], 200, b"hi"),
        ([b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", None], 503, b""),
        ([b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", None], 200, b"hi"),
    ],
)
async def test_replies_are_read_in_every_form_that_http_has(reply, status, body):
    async with serving(reply, [OK]) as (transport, _, _):
        found = await transport.post("x", b"{}")
        assert (found[0], found[2]) == (status, body)
        assert (await transport.post("x", b"{}"))[2] == b"hi"  # and the next request goes as well


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ([b"SSH-2.0-OpenSSH\r\n\r\n"], ConnectionError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhal", None], ConnectionError),
        ([None], ConnectionError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 5000], TooLong),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], ConnectionError),
        ([], TimeoutError),
    ],
)
async def test_what_is_no_reply_is_an_error_and_its_connection_is_not_used_again(reply, error):
    async with serving(reply, [OK], timeout_s=0.2 if error is TimeoutError else 5) as (transport, _, connections):
        with pytest.raises(error):
            await transport.post("x", b"{}")
        assert (await transport.post("x", b"{}"))[2] == b"hi"
        assert len(connections) == 2


async def test_a_server_that_is_not_there_is_an_error_of_the_system():
    with pytest.raises(OSError):
        await Transport("http://127.0.0.1:9/v1", {}, timeout_s=1, longest=10).post("x", b"{}")


def test_a_key_with_a_line_break_makes_no_second_header():
    with pytest.raises(OSError, match="line break"):
        Transport("http://127.0.0.1/v1", {"Authorization": "Bearer a\r\nX: y"}, timeout_s=1, longest=10)


async def test_many_requests_at_once_get_their_own_answers():
    async def client(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(
                    int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                )
                await asyncio.sleep(0)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    transport = Transport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", {}, timeout_s=5, longest=1000)
    found = await asyncio.gather(*(transport.post("x", b"%d" % n) for n in range(50)))
    found += await asyncio.gather(*(transport.post("x", b"%d" % n) for n in range(50, 100)))
    assert [int(body) for _, _, body in found] == list(range(100))
    await transport.close()
    server.close()


async def test_each_request_waits_its_own_time_and_no_other_is_ended_with_it():
    async with serving([], [OK, OK], [OK], timeout_s=0.2) as (transport, _, connections):
        silent = asyncio.create_task(transport.post("x", b"{}"))
        await asyncio.sleep(0.1)
        assert (await transport.post("x", b"{}"))[2] == b"hi"  # while the first still waits
        with pytest.raises(TimeoutError):
            await silent
        assert (await transport.post("x", b"{}"))[2] == b"hi"
        assert len(connections) == 3  # the second connection sent a reply too many: whose it is nobody knows

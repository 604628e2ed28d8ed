"""Tools of real MCP servers, written with the SDK's own server side, in processes of their own: over stdio and over HTTP, alive and killed."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from stillhouse.errors import UserError
from stillhouse.flow.tools import ToolError, mcp_tools
from stillhouse.flow.tools.mcp import _as_tools

pytest.importorskip("mcp", reason="the mcp SDK is not installed: pip install mcp")
SERVER = Path(__file__).parent / "mcp_server.py"
STDIO = [sys.executable, str(SERVER), "stdio"]
pytestmark = pytest.mark.slow  # an SDK's server takes seconds to load


@contextlib.contextmanager
def http_server(port: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, str(SERVER), str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                    break
                assert process.poll() is None
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def refusal(tool, **arguments):
    with pytest.raises(ToolError) as found:
        await tool.call(arguments)
    return str(found.value)


async def ordinary_calls(tools):
    """What holds over either transport."""
    assert tools["add"].description == "Add two numbers."
    assert tools["add"].schema["properties"]["a"] == {
        "description": "the first number",
        "title": "A",
        "type": "integer",
    }
    assert tools["add"].schema["required"] == ["a"]
    assert await tools["add"].call({"a": 2, "b": 3}) == "5"
    assert await tools["odd_name_echo"].call({"text": "é \U0001f600 \0"}) == "é \U0001f600 \0"
    assert (await tools["large"].call({})) == "x" * 100 + "\n[cut: 999,900 of 1,000,000 characters are left out]"
    assert await asyncio.gather(*(tools["add"].call({"a": n, "b": n}) for n in range(20))) == [
        str(2 * n) for n in range(20)
    ]
    assert (
        await tools["picture"].call({})
        == "[image, image/png: left out]\na kettle\nA page about kettles.\n[more: shop://more]"
    )
    wrong = await refusal(tools["add"], a="two")
    assert wrong.startswith("add failed (Error executing tool add: 1 validation error")
    assert "\na\n" in wrong
    assert await refusal(tools["broken"]) == "broken failed (Error executing tool broken)"
    assert (await refusal(tools["odd_name_echo"], text="half \ud800")).startswith(
        "the arguments of odd_name_echo cannot be sent as JSON (UnicodeEncodeError"
    )
    assert (await refusal(tools["add"], a=object())).startswith(
        "the arguments of add cannot be sent as JSON (TypeError"
    )
    assert (
        await tools["odd_name_echo"].call({"text": "ж" * 1_000_000})
        == "ж" * 100 + "\n[cut: 999,900 of 1,000,000 characters are left out]"
    )


async def test_a_server_over_stdio_its_death_and_the_next_call(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    async with mcp_tools(STDIO, env={"SHOP": "1"}, timeout_s=20, max_chars=100) as found:
        tools = {tool.name: tool for tool in found}
        await ordinary_calls(tools)
        names = await tools["environment"].call({})
        assert "SHOP" in names
        assert "OPENAI_API_KEY" not in names
        first = int(await tools["pid"].call({}))
        assert (await refusal(tools["die"])).startswith(f"the MCP server {sys.executable} ended before it answered die")
        second = int(await tools["pid"].call({}))  # connected again
        assert second != first
        os.kill(second, signal.SIGKILL)  # between two calls
        assert (await refusal(tools["pid"])).endswith(
            "whether it did what was asked is not known, and the next call connects to it again"
        )
        third = int(await tools["pid"].call({}))
        assert third not in (first, second)
    with pytest.raises(ProcessLookupError):
        os.kill(third, 0)
    assert (
        await refusal(tools["pid"])
        == f"the MCP server {sys.executable} is closed; use its tools inside `async with mcp_tools(...)`"
    )


async def test_a_server_over_http_its_death_and_the_next_call():
    port = free_port()
    url = f"http://user:s3cret@127.0.0.1:{port}/mcp?key=s3cret"
    shown = f"the MCP server http://127.0.0.1:{port}/mcp"
    with http_server(port):
        async with mcp_tools(url, headers={"X-Shop": "1"}, timeout_s=20, max_chars=100) as found:
            tools = {tool.name: tool for tool in found}
            await ordinary_calls(tools)
            assert (await refusal(tools["die"])).startswith(f"{shown} ended before it answered die")
            assert (await refusal(tools["pid"])).startswith(f"{shown} cannot be reached (ConnectError")
            with http_server(port):
                assert int(await tools["pid"].call({})) > 0  # the server is back, and so are its tools
    with pytest.raises(UserError) as error:
        async with mcp_tools(url):
            pass
    assert (
        str(error.value) == f"{shown} cannot be reached (ConnectError: All connection attempts failed); check the URL"
    )


async def test_calls_that_are_never_answered_are_given_up_and_the_server_goes_on():
    with pytest.raises(ZeroDivisionError):
        async with mcp_tools(STDIO, timeout_s=20) as found:
            tools = {tool.name: tool for tool in found}
            pid = int(await tools["pid"].call({}))
            hanging = asyncio.create_task(tools["hang"].call({}))
            await tools["add"].call({"a": 1})
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
            server = tools["hang"].run.args[0]
            server.timeout_s = 0.1  # for this call alone: to start, a busy server may take longer
            assert (
                await refusal(tools["hang"])
                == f"the MCP server {sys.executable} took longer than 0.1 s for hang and was given up; ask for less"
            )
            server.timeout_s = 20
            assert await tools["pid"].call({}) == str(pid)
            raise ZeroDivisionError  # an error of the user's own code passes, and the server ends
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_servers_that_cannot_be_reached_are_the_users_mistake(monkeypatch):
    monkeypatch.setattr(sys.modules["stillhouse.flow.tools.mcp"], "CONNECT_TIMEOUT_S", 0.5)
    for server, sentence in [
        (
            ["/nowhere/server"],
            "the MCP server /nowhere/server cannot be reached (FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/server'); check the command",
        ),
        (["sleep", "1000"], "the MCP server sleep cannot be reached: no answer within 0.5 s; check the command"),
        ([], "mcp_tools was given an empty command; write it as a list, such as ['uvx', 'some-server']"),
        (
            "some-server --flag",
            "'some-server --flag' is no http:// or https:// URL of an MCP server; write a command as a list, such as ['uvx', 'some-server']",
        ),
        (
            "http://[",
            "'http://[' is no http:// or https:// URL of an MCP server; write a command as a list, such as ['uvx', 'some-server']",
        ),
    ]:
        with pytest.raises(UserError) as found:
            async with mcp_tools(server):
                pass
        assert str(found.value) == sentence


def test_two_tools_that_would_share_a_name_are_refused():
    from mcp_types import Tool

    found = [Tool(name=name, input_schema={"type": "object"}) for name in ("stock.read", "stock/read")]
    with pytest.raises(UserError) as error:
        _as_tools(SimpleNamespace(shown="shop"), found, 100)
    assert (
        str(error.value)
        == "the MCP server shop has two tools that are both called stock_read here; have one of them renamed"
    )


async def test_a_server_that_ends_at_once_has_the_last_word():
    with pytest.raises(UserError) as found:
        async with mcp_tools([sys.executable, "-c", "import no_such_module"]):
            pass
    assert "the last line of its stderr is \"ModuleNotFoundError: No module named 'no_such_module'\"" in str(
        found.value
    )


@pytest.mark.parametrize("noise", ["print('hello', n, flush=True)", r"os.write(1, b'caf\xe9\n')"])
async def test_a_server_that_writes_no_messages_is_said_once_without_a_traceback(tmp_path, caplog, noise):
    """The second is no UTF-8: every call after it waited for its whole time."""
    chatty = tmp_path / "chatty.py"
    server = Path(__file__).with_name("mcp_server.py")
    chatty.write_text(
        f"import os, runpy, sys\nfor n in range(20): {noise}\n"
        f"sys.argv = ['mcp_server.py', 'stdio']\nrunpy.run_path({str(server)!r}, run_name='__main__')\n"
    )
    async with mcp_tools([sys.executable, str(chatty)]) as tools:
        [add] = [tool for tool in tools if tool.name == "add"]
        assert await add.call({"a": 2, "b": 3}) == "5"
    assert [record.getMessage() for record in caplog.records if record.name == "mcp.client.stdio"] == [
        f"the MCP server {sys.executable} writes lines to its stdout that are no messages; they are left out"
    ]
    assert "Traceback" not in caplog.text

"""The tools of MCP servers (Model Context Protocol), through its official SDK.

A server is started as a command, or reached at a URL (streamable HTTP).
"""

import asyncio
import contextlib
import json
import logging
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

from stillhouse.errors import MissingExtraError, UserError
from stillhouse.flow.tools.tool import MAX_ERROR_CHARS, Tool, ToolError, as_text, clean, cut, short_error
from stillhouse.proxies import proxy_for, trusted

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client import Transport
    from mcp_types import CallToolResult, ContentBlock
    from mcp_types import Tool as ServersTool

CONNECT_TIMEOUT_S = 30.0
LAST_WORDS_S = 0.5  # seconds to wait for the reason after a session has ended
MAX_PAGES = 100  # most pages read of a server's list of tools


@contextlib.asynccontextmanager
async def mcp_tools(
    server: Sequence[str] | str,
    *,
    env: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
    max_chars: int = 20_000,
) -> AsyncIterator[list[Tool]]:
    """`async with mcp_tools(["uvx", "some-server"]) as tools:` the server's tools, while the block lasts.

    `server`: a command with its arguments, or the http(s) URL of a running server, which is sent `headers`. A command
    is started with PATH, HOME and the like of the environment, and `env`. In names, what the chat-completions API does
    not take is written `_`. When the server dies, the call under way gives a ToolError, and the next one connects
    again. Raises UserError where the server cannot be reached at first, MissingExtraError.
    """
    try:
        import mcp  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            "MCP servers are reached with the mcp SDK, which is not installed; pip install 'stillhouse[tools]'"
        ) from None
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        reached = _Server(_shown(server), partial(_transport, server, env, headers, log), log, timeout_s)
        sdk_log, once = logging.getLogger("mcp.client.stdio"), _SaidOnce(_shown(server))
        sdk_log.addFilter(once)
        try:
            try:
                listed = await reached.tools()
            except ToolError as error:
                raise UserError(f"{error}; check the {'URL' if isinstance(server, str) else 'command'}") from None
            yield _as_tools(reached, listed, max_chars)
        finally:
            await reached.close()
            sdk_log.removeFilter(once)


class _SaidOnce(logging.Filter):
    """The SDK logs a traceback for each line of a server that is no message; this says it once, in a sentence."""

    def __init__(self, shown: str) -> None:
        super().__init__()
        self._shown, self._said = shown, False

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info is None or record.levelno < logging.ERROR:
            return True
        if self._said:
            return False
        self._said = True
        record.msg = f"the MCP server {self._shown} writes lines to its stdout that are no messages; they are left out"
        record.args, record.exc_info, record.exc_text = (), None, None
        return True


def _transport(
    server: Sequence[str] | str, env: Mapping[str, str] | None, headers: Mapping[str, str] | None, log: TextIO
) -> "Transport":
    if isinstance(server, str):
        return _over_http(server, dict(headers or {}))
    from mcp import StdioServerParameters, stdio_client

    log.seek(0)
    log.truncate()
    # A line in another encoding is no message; taken strictly, it would end the reading of all that follow.
    command = StdioServerParameters(
        command=server[0], args=list(server[1:]), env=dict(env or {}), encoding_error_handler="replace"
    )
    return stdio_client(command, errlog=log)


@contextlib.asynccontextmanager
async def _over_http(url: str, headers: dict[str, str]) -> AsyncIterator[Any]:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    proxy = proxy_for(url)
    timeout = httpx2.Timeout(CONNECT_TIMEOUT_S, read=None)  # the call's own limit bounds how long an answer may take
    async with (
        httpx2.AsyncClient(
            headers=headers,
            timeout=timeout,
            verify=trusted(),
            trust_env=False,  # the environment is read in `proxies`, by one rule for all clients
            proxy=None if proxy is None else httpx2.Proxy(proxy.url, ssl_context=trusted() if proxy.secure else None),
        ) as client,
        streamable_http_client(url, http_client=client) as streams,
    ):
        yield streams


def _shown(server: Sequence[str] | str) -> str:
    """The server as errors name it: a URL without what may be a key in it, a command without its arguments."""
    if not isinstance(server, str):
        if not server:
            raise UserError("mcp_tools was given an empty command; write it as a list, such as ['uvx', 'some-server']")
        return server[0]
    try:
        parts = urlsplit(server)
        if parts.scheme in ("http", "https") and parts.hostname:
            return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        pass
    raise UserError(
        f"{server[:100]!r} is no http:// or https:// URL of an MCP server; "
        "write a command as a list, such as ['uvx', 'some-server']"
    )


class _Connection:
    """A session with the server, in a task of its own.

    The SDK wants a session left by the task that entered it, and calls come from many tasks.
    """

    def __init__(self, client: "Client") -> None:
        self.client = client
        self.error: BaseException | None = None
        self._entered, self._leave = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._live())

    async def _live(self) -> None:
        try:
            async with self.client:
                self._entered.set()
                await self._leave.wait()
        except Exception as error:
            self.error = error

    async def entered(self) -> bool:
        """Whether the session was opened in time; `error` says why not."""
        waiting = asyncio.create_task(self._entered.wait())
        try:
            await asyncio.wait({waiting, self.task}, timeout=CONNECT_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        return self._entered.is_set() and not self.task.done()

    def leave(self) -> None:
        self._leave.set()
        if not self._entered.is_set():
            self.task.cancel()


class _Server:
    """An MCP server, connected to when it is needed."""

    def __init__(self, shown: str, transport: Callable[[], "Transport"], log: TextIO, timeout_s: float) -> None:
        self.shown, self.timeout_s = shown, timeout_s
        self._transport, self._log = transport, log
        self._connection: _Connection | None = None
        self._left: set[asyncio.Task[None]] = set()
        self._connecting = asyncio.Lock()
        self._closed = False

    async def tools(self) -> "list[ServersTool]":
        """All that the server lists. Raises ToolError."""
        connection = await self._connected()
        listed: list[ServersTool] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            list_page = partial(connection.client.list_tools, cursor=cursor)
            page = await self._ask(connection, "its list of tools", list_page)
            listed += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        return listed

    async def call(self, name: str, arguments: dict[str, Any]) -> "CallToolResult":
        """The server's answer. Raises ToolError where there is none."""
        connection = await self._connected()
        ask = partial(connection.client.call_tool, name, arguments)
        answer: CallToolResult = await self._ask(connection, name, ask)
        return answer

    async def _ask(self, connection: _Connection, what: str, ask: Callable[[], Any]) -> Any:
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED

        task: asyncio.Task[Any] = asyncio.ensure_future(ask())
        try:
            await asyncio.wait({task, connection.task}, timeout=self.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if connection.task.done():
                await asyncio.wait({task}, timeout=LAST_WORDS_S)
            if task.done() and not task.cancelled():
                return task.result()
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                raise ToolError(f"the MCP server {self.shown} refused {what} ({short_error(error)})") from None
        except Exception as error:  # the SDK may raise anything on an answer that breaks the protocol
            reason = short_error(error)
            raise ToolError(f"the MCP server {self.shown} gave no usable answer to {what} ({reason})") from None
        finally:
            task.cancel()
        if not task.done() and not connection.task.done():
            raise ToolError(
                f"the MCP server {self.shown} took longer than {self.timeout_s:g} s for {what} and was given up; "
                "ask for less"
            )
        self._drop(connection)
        raise ToolError(
            f"the MCP server {self.shown} ended before it answered {what}{self._last_words(connection)}; "
            "whether it did what was asked is not known, and the next call connects to it again"
        )

    async def _connected(self) -> _Connection:
        from mcp import Client

        async with self._connecting:
            if self._closed:
                remedy = "use its tools inside `async with mcp_tools(...)`"
                raise ToolError(f"the MCP server {self.shown} is closed; {remedy}")
            if self._connection is not None and self._connection.task.done():
                self._drop(self._connection)
            if self._connection is None:
                connection = _Connection(Client(self._transport()))
                try:
                    entered = await connection.entered()
                except BaseException:
                    self._drop(connection)
                    raise
                if not entered:
                    self._drop(connection)
                    slow = "" if connection.error else f": no answer within {CONNECT_TIMEOUT_S:g} s"
                    why = self._last_words(connection)
                    raise ToolError(f"the MCP server {self.shown} cannot be reached{slow}{why}")
                self._connection = connection
            return self._connection

    def _drop(self, connection: _Connection) -> None:
        if self._connection is connection:
            self._connection = None
        connection.leave()
        self._left.add(connection.task)
        connection.task.add_done_callback(self._left.discard)

    def _last_words(self, connection: _Connection) -> str:
        """Why, as far as the session and the server's own stderr say it."""
        error = connection.error
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read()[-4_000:].splitlines() if line.strip()]
        words = [short_error(error)] if error is not None else []
        words += [f"the last line of its stderr is {clean(lines[-1])[:MAX_ERROR_CHARS]!r}"] if lines else []
        return f" ({'; '.join(words)})" if words else ""

    async def close(self) -> None:
        self._closed = True
        if self._connection is not None:
            self._drop(self._connection)
        if self._left:
            await asyncio.wait(set(self._left))  # the SDK bounds how long a server may take to end


# Tools and results


def _as_tools(server: _Server, listed: "Sequence[ServersTool]", max_chars: int) -> list[Tool]:
    made: dict[str, Tool] = {}
    for theirs in listed:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", theirs.name)[:64] or "_"
        if name in made:
            raise UserError(
                f"the MCP server {server.shown} has two tools that are both called {name} here; "
                "have one of them renamed"
            )
        run = partial(_run, server, theirs.name, name, max_chars)
        made[name] = Tool(name, clean(theirs.description or theirs.title or theirs.name), theirs.input_schema, run)
    return list(made.values())


async def _run(server: _Server, servers_name: str, name: str, max_chars: int, arguments: Mapping[str, Any]) -> str:
    try:
        plain = json.loads(json.dumps(dict(arguments), allow_nan=False).encode())
        json.dumps(plain, ensure_ascii=False).encode()  # encoding raises where half of a surrogate pair is in the text
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolError(f"the arguments of {name} cannot be sent as JSON ({short_error(error)})") from None
    answer = await server.call(servers_name, plain)
    text = "\n".join(_block(block) for block in answer.content)
    if answer.is_error:
        raise ToolError(f"{name} failed ({cut(text, 2_000) or 'the server does not say why'})")
    if not text and answer.structured_content is not None:
        return as_text(answer.structured_content, name, max_chars)
    return cut(text, max_chars)


def _block(block: "ContentBlock") -> str:
    """A part of an answer as text; what is no text is named and left out."""
    match block.type:
        case "text":
            return block.text
        case "resource_link":
            return f"[{block.name}: {block.uri}]"
        case "resource":
            text = getattr(block.resource, "text", None)
            return text if isinstance(text, str) else f"[{block.resource.uri}: not text, left out]"
        case _:
            return f"[{block.type}, {block.mime_type}: left out]"

"""An MCP server for tests, in a process of its own. Run: `python mcp_server.py stdio` or `python mcp_server.py PORT`."""

import os
import signal
import sys
from typing import Annotated

import anyio
from mcp.server.mcpserver import MCPServer
from mcp_types import ContentBlock, EmbeddedResource, ImageContent, ResourceLink, TextContent, TextResourceContents
from pydantic import Field

server = MCPServer("tests", log_level="ERROR")


@server.tool()
def add(a: Annotated[int, Field(description="the first number")], b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@server.tool(name="odd.name/echo")
def echo(text: str) -> str:
    """Say it again."""
    return text


@server.tool()
def pid() -> int:
    """The process's number."""
    return os.getpid()


@server.tool()
def environment() -> list[str]:
    """The names in the environment."""
    return sorted(os.environ)


@server.tool()
def broken() -> str:
    """Fail."""
    raise RuntimeError("the shelf is empty")


@server.tool()
def large() -> str:
    """A long text."""
    return "x" * 1_000_000


@server.tool()
def picture() -> list[ContentBlock]:
    """A picture, its caption, and where there is more."""
    page = TextResourceContents(uri="shop://kettle", text="A page about kettles.")
    return [
        ImageContent(data="aGVsbG8=", mime_type="image/png"),
        TextContent(text="a kettle"),
        EmbeddedResource(resource=page),
        ResourceLink(name="more", uri="shop://more"),
    ]


@server.tool()
async def die() -> str:
    """Be killed in the middle of a call."""
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@server.tool()
async def hang() -> str:
    """Never answer."""
    await anyio.sleep(3600)
    return "never"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))

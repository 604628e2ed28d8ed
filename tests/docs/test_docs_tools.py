"""The code of docs/tools.md runs, and prints what its comments say."""

import ast
import inspect
import sqlite3
from pathlib import Path

import pytest

from docs_code import blocks

PAGE = Path(__file__).parent.parent.parent / "docs" / "tools.md"
SERVER = '''
from mcp.server.mcpserver import MCPServer

server = MCPServer("sums", log_level="ERROR")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


server.run("stdio")
'''


def printed(block):
    """What the comments of a block say it prints: those behind a print, and those on the lines under one."""
    lines = []
    for line in block.splitlines():
        if line.strip().startswith("print(") and "  # " in line:
            lines.append(line.rpartition("  # ")[2])
        elif line.startswith("# "):
            lines.append(line.removeprefix("# "))
    return lines


@pytest.mark.slow  # an MCP server is started
async def test_the_pages_code_does_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect("shop.db") as shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, country TEXT)")
        shop.executemany("INSERT INTO orders (country) VALUES (?)", [("PT",), ("PT",), ("ES",)])
    shop.close()
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "returns.md").write_text("You can return a kettle within 30 days.")
    (tmp_path / "server.py").write_text(SERVER)
    scope = {"__name__": "tools_page"}
    for block in blocks(PAGE, "python"):
        running = eval(compile(block, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), scope)
        if inspect.isawaitable(running):
            await running
        assert capsys.readouterr().out.splitlines() == printed(block)

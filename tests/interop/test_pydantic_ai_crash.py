"""An agent killed with SIGKILL inside a flow and resumed: model requests, tool calls and MCP calls are paid once, the one in flight at most twice."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec

import pytest

pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed: pip install 'stillhouse[pydantic-ai]'")

APP = """
import asyncio, json, os, signal, sys
from pathlib import Path
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel
from stillhouse import flow
from stillhouse.interop.pydantic_ai import StillhouseDurability


def paid(what):
    with open("paid.txt", "a") as log:
        log.write(what + "\\n")
        log.flush()
        os.fsync(log.fileno())
    if os.environ.get("DIES_IN") == what:
        os.kill(os.getpid(), signal.SIGKILL)
    return what


def reply(messages, info):
    turn = sum(isinstance(message, ModelResponse) for message in messages)
    paid(f"turn{turn}")
    if turn < 4:
        return ModelResponse([ToolCallPart(name, {"n": turn}) for name in sorted(tool.name for tool in info.function_tools)])
    returned = [part.content for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    return ModelResponse([TextPart(json.dumps(returned))])


def build(**more):
    return Agent(FunctionModel(reply), name="worker", capabilities=[StillhouseDurability()], **more)


local = build()


@local.tool_plain
async def look(n: int) -> str:
    return paid(f"look{n}")


def over_mcp():
    from pydantic_ai.mcp import MCPToolset
    return build(toolsets=[MCPToolset(Path("server.py"), id="desk")])


@flow
async def tools() -> list[str]:
    return json.loads((await local.run("look four times")).output)


@flow
async def mcp() -> list[str]:
    return json.loads((await over_mcp().run("ask four times")).output)


@flow
async def asks(url: str) -> list[str]:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    model = OpenAIChatModel("slow", provider=OpenAIProvider(base_url=url, api_key="none"))
    agent = Agent(model, name="judge", capabilities=[StillhouseDurability()])
    said = []
    for n in range(6):
        said.append((await agent.run(f"good {n}")).output)
        if os.environ.get("DIES_IN") == str(n):
            os.kill(os.getpid(), signal.SIGKILL)
    return said


if __name__ == "__main__":
    print(json.dumps(asyncio.run(globals()[sys.argv[1]].run("r", *sys.argv[2:]))))
"""

SERVER = """
import os
from mcp.server.mcpserver import MCPServer

server = MCPServer("desk")


@server.tool()
def ask(n: int) -> str:
    with open("paid.txt", "a") as log:
        log.write(f"ask{n}\\n")
        log.flush()
        os.fsync(log.fileno())
    return f"ask{n}"


server.run()
"""


@pytest.fixture
def sitting(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "server.py").write_text(SERVER)

    def run(*arguments, dies_in=None):
        environment = os.environ | ({} if dies_in is None else {"DIES_IN": dies_in})
        done = subprocess.run(
            [sys.executable, "app.py", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        if dies_in is not None:
            assert done.returncode == -signal.SIGKILL, done.stderr
            return None
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def paid(tmp_path):
    return Counter((tmp_path / "paid.txt").read_text().split())


@pytest.mark.slow
@pytest.mark.parametrize("dies_in", ["look2", "turn3"])
def test_a_killed_agent_pays_for_nothing_twice_but_the_call_in_flight(sitting, tmp_path, dies_in):
    assert sitting("tools", dies_in=dies_in) is None
    assert sitting("tools") == ["look0", "look1", "look2", "look3"]
    once = {f"turn{n}": 1 for n in range(5)} | {f"look{n}": 1 for n in range(4)}
    assert paid(tmp_path) == once | {dies_in: 2}


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("fastmcp") is None or find_spec("mcp") is None,
    reason="MCP for pydantic-ai is not installed: pip install 'pydantic-ai-slim[mcp]'",
)
def test_a_killed_agents_mcp_calls_come_from_the_journal(sitting, tmp_path):
    assert sitting("mcp", dies_in="turn3") is None
    assert sitting("mcp") == ["ask0", "ask1", "ask2", "ask3"]
    assert paid(tmp_path) == {f"turn{n}": 1 for n in range(5)} | {f"ask{n}": 1 for n in range(4)} | {"turn3": 2}


@pytest.mark.slow
def test_a_killed_agent_asks_the_provider_for_nothing_again(sitting, endpoint):
    """pydantic-ai's own OpenAI client against a provider in another process, which counts."""
    url = endpoint.url().partition("#")[0]
    assert sitting("asks", url, dies_in="3") is None
    assert endpoint.calls() == {f"good {n}": 1 for n in range(4)}
    assert sitting("asks", url) == ["good"] * 6
    assert endpoint.calls() == {f"good {n}": 1 for n in range(6)}

"""An agent as a tool of another agent: it is given a task in words, and its answer is the observation."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stillhouse.flow.tools.tool import Tool

if TYPE_CHECKING:
    from stillhouse.flow.agent import Agent

TASK = "task"


@dataclass(frozen=True)
class AgentTool(Tool):
    """The tool, and the agent behind it. Its calls are journaled as the agent's, with its turns inside."""

    agent: "Agent[Any]" = field(repr=False, kw_only=True)


def as_tool(agent: "Agent[Any]") -> AgentTool:
    """The agent as a tool of its name; the model reads the agent's `description`, or else its instruction."""
    schema = {
        "type": "object",
        "properties": {TASK: {"type": "string", "description": "what it is to do, in words: it sees nothing else"}},
        "required": [TASK],
        "additionalProperties": False,
    }

    async def run(arguments: Any) -> str:
        return str(await agent(arguments[TASK]))

    return AgentTool(agent.name, agent.description or agent.instruction, schema, run, agent=agent)

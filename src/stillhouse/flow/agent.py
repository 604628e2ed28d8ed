"""Agents: a model that calls tools in a loop until it has an answer (ReAct, Yao et al. 2022, 2210.03629: Thought, Action, Action Input, Observation).

Native tool calls where the endpoint has them, the text protocol where it refuses them. Each turn of the model and each call of a tool is a journaled call of
its own, inside the agent's: a killed run goes on at the turn where it was. A turn is keyed by the digest of what was said so far and not by the text, so that
the journal of a long conversation grows with its length and not with its square.
"""

import asyncio
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from stillhouse.errors import StillhouseError, UserError
from stillhouse.flow.call import StepError, active_run, canonical_json, current_call, encode, journaled, perform
from stillhouse.flow.limits import LimitExceeded
from stillhouse.flow.model_step import note
from stillhouse.flow.models import Chat, ModelName, Models
from stillhouse.flow.tools.tool import Tool, ToolError, tool
from stillhouse.llm.request import Completion, Request

ToolCalling = Literal["auto", "native", "text"]
SAME_CALLS = 3  # equal calls with equal observations that are let pass; the next one ends the agent
_ACTION = re.compile(
    r"^Action:[ \t]*(?P<name>[^\n]+?)[ \t]*\n+Action Input:[ \t]*(?P<input>.*)", re.MULTILINE | re.DOTALL
)
_FINAL = re.compile(r"^Final Answer:[ \t]*(?P<answer>.*)", re.MULTILINE | re.DOTALL)
STOP = "\nObservation:"


class AgentError(StillhouseError):
    """The agent came to no answer; `turns` is what it did until then."""

    def __init__(self, message: str, turns: Sequence["Turn"] = ()) -> None:
        super().__init__(message)
        self.turns = tuple(turns)


@dataclass(frozen=True, slots=True)
class Action:
    """One call of a tool, as the model wrote it."""

    id: str
    tool: str
    arguments: str  # JSON, if all went well


@dataclass(slots=True)
class Turn:
    """What the model said, the calls it made, and what the tools answered, in the calls' order."""

    text: str
    actions: tuple[Action, ...]
    observations: list[str] = field(default_factory=list)


class Dialect(Protocol):
    """How a conversation with tools is written down: by the API's own fields, or in plain text."""

    def parameters(self, tools: Sequence[Tool]) -> dict[str, Any]: ...

    def system(self, instruction: str, tools: Sequence[Tool]) -> str: ...

    def read(self, completion: Completion) -> tuple[Turn, str | None]:
        """The turn, and the final answer where it holds one."""
        ...

    def messages(self, turn: Turn) -> list[dict[str, Any]]:
        """The turn and its observations, as the model sees them next."""
        ...


class Native:
    """Tool calls as the chat-completions API has them."""

    def parameters(self, tools: Sequence[Tool]) -> dict[str, Any]:
        described = [
            {"name": one.name, "description": one.description, "parameters": dict(one.schema)} for one in tools
        ]
        return {"tools": [{"type": "function", "function": one} for one in described]} if described else {}

    def system(self, instruction: str, tools: Sequence[Tool]) -> str:
        return instruction

    def read(self, completion: Completion) -> tuple[Turn, str | None]:
        actions = tuple(Action(call.id, call.name, call.arguments) for call in completion.tool_calls or ())
        text = completion.text or ""
        return Turn(text, actions), None if actions else text.strip() or None

    def messages(self, turn: Turn) -> list[dict[str, Any]]:
        calls = [
            {"id": one.id, "type": "function", "function": {"name": one.tool, "arguments": one.arguments}}
            for one in turn.actions
        ]
        said: dict[str, Any] = {
            "role": "assistant",
            "content": turn.text or None,
            **({"tool_calls": calls} if calls else {}),
        }
        if not calls:
            return [said, {"role": "user", "content": "That was empty. Call a tool, or give your answer."}]
        seen = zip(turn.actions, turn.observations, strict=True)
        return [said, *({"role": "tool", "tool_call_id": one.id, "content": observation} for one, observation in seen)]


class Text:
    """The Thought / Action / Action Input / Observation protocol, for endpoints without tool calls."""

    def parameters(self, tools: Sequence[Tool]) -> dict[str, Any]:
        return {"stop": [STOP]}

    def system(self, instruction: str, tools: Sequence[Tool]) -> str:
        described = "\n".join(
            f"- {one.name}: {one.description}\n  arguments: {json.dumps(one.schema, ensure_ascii=False)}"
            for one in tools
        )
        form = (
            "Work in turns of this form:\n\nThought: what you think\nAction: the name of one tool\nAction Input: its arguments, one JSON object\n\n"
            "and wait for the Observation. When you know the answer, write instead:\n\nThought: why you are sure\nFinal Answer: the answer"
        )
        return f"{instruction}\n\nYour tools:\n{described or '- none'}\n\n{form}"

    def read(self, completion: Completion) -> tuple[Turn, str | None]:
        text = (completion.text or "").partition(STOP)[0].strip()
        action, final = _ACTION.search(text), _FINAL.search(text)
        if action is not None and (final is None or action.start() < final.start()):
            return Turn(text, (Action("", action["name"], _unfenced(action["input"])),)), None
        return Turn(text, ()), final["answer"].strip() if final is not None and final["answer"].strip() else None

    def messages(self, turn: Turn) -> list[dict[str, Any]]:
        seen = turn.observations or [
            "that has neither an Action with its Action Input nor a Final Answer; write one of the two, in the form you were given"
        ]
        return [{"role": "assistant", "content": turn.text}, {"role": "user", "content": f"Observation: {seen[0]}"}]


def _unfenced(text: str) -> str:
    return re.sub(r"^```(?:json)?\s*|\s*```$", "", text.strip())


class Agent:
    """An agent, ready to be asked: `await helper("How many orders came from Porto?")` gives its answer."""

    def __init__(
        self,
        instruction: str,
        tools: Sequence[Tool],
        *,
        name: str,
        model: ModelName | None,
        max_turns: int,
        calling: ToolCalling,
        max_tokens: int,
        temperature: float,
    ) -> None:
        self.instruction, self.tools, self.name, self.model = instruction, {one.name: one for one in tools}, name, model
        self.max_turns, self.calling, self.max_tokens, self.temperature = max_turns, calling, max_tokens, temperature
        if len(self.tools) < len(tools):
            raise UserError(
                f"the agent {name} has two tools of one name ({', '.join(sorted(one.name for one in tools))}); give one of them another name"
            )

    async def __call__(self, task: str) -> str:
        """The answer. Raises AgentError where it comes to none, LimitExceeded (with the turns so far as `trace`), StepError."""
        active = active_run.get()
        if active is None:
            async with Models() as models:
                return await _Conversation(self, models, task).answer()
        named = active.models.of(self.name, self.model)
        described = [[one.name, one.description, one.schema] for one in self.tools.values()]
        asked = named if isinstance(named, str) else named.name
        declared = [self.instruction, described, self.max_turns, self.calling, self.max_tokens, self.temperature, asked]
        version = hashlib.sha256(encode(declared, f"the tools of {self.name}").encode()).hexdigest()[:16]
        conversation = _Conversation(self, active.models, task)
        output = await perform(
            active, self.name, "agent", version, encode({"task": task}, f"the task of {self.name}"), conversation.answer
        )
        return str(json.loads(output))


class _Conversation:
    """One task of an agent."""

    def __init__(self, agent: Agent, models: Models, task: str) -> None:
        self.agent, self.models, self.task = agent, models, task
        self.turns: list[Turn] = []
        self.seen: Counter[tuple[str, str, str]] = Counter()

    async def answer(self) -> str:
        agent = self.agent
        chat = await self.models.open(self.models.of(agent.name, agent.model))
        if not isinstance(chat, Chat):
            raise UserError(
                f"the agent {agent.name} is given {chat.name}, which answers one task and takes no tools; name a model that takes messages"
            )
        dialect: Dialect = Text() if agent.calling == "text" or "tools" in chat.lacks else Native()
        try:
            answer = await self._converse(chat, dialect)
            if answer is None:
                answer = await self._converse(chat, Text())
            assert answer is not None
            return answer
        except LimitExceeded as error:
            error.trace = tuple(self.turns)
            raise

    async def _converse(self, chat: Chat, dialect: Dialect) -> str | None:
        """The answer; None where the endpoint refuses tool calls."""
        agent, tools = self.agent, list(self.agent.tools.values())
        note("tool_calling", type(dialect).__name__.lower())
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": dialect.system(agent.instruction, tools)},
            {"role": "user", "content": self.task},
        ]
        digest = hashlib.sha256(canonical_json(messages).encode()).hexdigest()
        for number in range(agent.max_turns):
            said = await self._turn(chat, dialect, messages, number, digest)
            if said["refused"]:
                return None
            turn = Turn(said["text"], tuple(Action(*one) for one in said["actions"]))
            self.turns.append(turn)
            if said["final"] is not None:
                return str(said["final"])
            turn.observations = list(await asyncio.gather(*(self._act(action) for action in turn.actions)))
            exchange = dialect.messages(turn)
            messages += exchange
            digest = hashlib.sha256((digest + canonical_json(exchange)).encode()).hexdigest()
        raise AgentError(
            f"the agent {agent.name} came to no answer in {agent.max_turns} turns; raise max_turns, or ask for less",
            self.turns,
        )

    async def _turn(
        self, chat: Chat, dialect: Dialect, messages: list[dict[str, Any]], number: int, digest: str
    ) -> dict[str, Any]:
        """One journaled reply of the model: `text`, `actions`, `final`; `refused` where the endpoint takes no tools."""
        agent = self.agent

        async def ask() -> dict[str, Any]:
            call = current_call.get()
            parameters = {
                "temperature": agent.temperature,
                "max_tokens": agent.max_tokens,
                **dialect.parameters(list(agent.tools.values())),
            }
            request = Request(chat.name, tuple(messages), parameters, None, 0 if call is None else call.sample_index)
            may_refuse = isinstance(dialect, Native) and agent.calling == "auto" and not self.turns
            if may_refuse and chat.without("tools", request):
                return {"refused": True}
            completion = await chat.complete(request)
            if may_refuse and completion.status == 400:
                chat.lacks.add("tools")
                return {"refused": True}
            if completion.error is not None:
                raise StepError(f"the agent {agent.name} got no usable reply in turn {number + 1}: {completion.error}")
            turn, final = dialect.read(completion)
            return {
                "refused": False,
                "text": turn.text,
                "final": final,
                "actions": [[one.id, one.tool, one.arguments] for one in turn.actions],
            }

        said: dict[str, Any] = await journaled(
            f"{agent.name}.turn", "turn", {"turn": number, "transcript": digest}, ask
        )
        return said

    async def _act(self, action: Action) -> str:
        """Call the tool; what goes wrong is the observation, for the model to mend."""
        observation = await self._observe(action)
        asked = (action.tool, action.arguments, observation)
        self.seen[asked] += 1
        if self.seen[asked] > SAME_CALLS:
            again = f"calls {action.tool} with {action.arguments[:200]} for the {self.seen[asked]}th time"
            raise AgentError(
                f"the agent {self.agent.name} {again}, with the same answer each time; mend its instruction, or the tool",
                self.turns,
            )
        return observation

    async def _observe(self, action: Action) -> str:
        found = self.agent.tools.get(action.tool)
        if found is None:
            return (
                f"Error: there is no tool {action.tool[:100]!r}; the tools are: {', '.join(self.agent.tools) or 'none'}"
            )
        try:
            arguments = json.loads(action.arguments or "{}")
        except (ValueError, RecursionError) as error:
            return f"Error: the arguments of {found.name} are not valid JSON ({error}); give one JSON object"
        if not isinstance(arguments, dict):
            return f"Error: the arguments of {found.name} are not a JSON object; give one"
        return str(await call_tool(found, arguments))


async def call_tool(found: Tool, arguments: Mapping[str, Any]) -> str:
    """Call a tool, journaled inside a run; a ToolError is an observation that begins with `Error:`."""

    async def call() -> str:
        try:
            return await found.call(arguments)
        except ToolError as error:
            note("tool_error", str(error))
            return f"Error: {error}"

    return str(await journaled(found.name, "tool", arguments, call))


def agent(
    instruction: str,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    *,
    name: str = "agent",
    model: ModelName | None = None,
    max_turns: int = 20,
    calling: ToolCalling = "auto",
    max_tokens: int = 1024,
    temperature: float = 0.0,
) -> Agent:
    """An agent that follows `instruction` with these tools (typed functions, or Tools). `name` is its step's name in journal and trace.

    `calling`: native tool calls, the text protocol, or (auto) native until the endpoint refuses them.
    """
    made = [one if isinstance(one, Tool) else tool(one) for one in tools]
    return Agent(
        instruction,
        made,
        name=name,
        model=model,
        max_turns=max_turns,
        calling=calling,
        max_tokens=max_tokens,
        temperature=temperature,
    )

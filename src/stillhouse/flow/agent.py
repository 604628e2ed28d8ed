"""Agents: a model that calls tools in a loop until it has an answer.

That is ReAct (Yao et al. 2022, 2210.03629): Thought, Action, Action Input, Observation. Tools are called natively where
the endpoint can, and by the text protocol where it refuses. Each turn of the model and each call of a tool is a
journaled call of its own, inside the agent's, so a killed run goes on at the turn where it was.

A turn is keyed by a digest of the conversation so far, and not by its text. So the journal of a long conversation grows
with its length, and not with its square. It is of the version of what made it: the model, the settings, the instruction
and the tools as they are declared. A tool's call is of the version of the tool's source besides.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar, overload

from stillhouse.errors import StillhouseError, UserError
from stillhouse.flow.agent_tools import TASK, AgentTool, as_tool
from stillhouse.flow.answer_type import AnswerType
from stillhouse.flow.call import StepError, active_run, canonical_json, current_call, encode, journaled, perform
from stillhouse.flow.limits import LimitExceeded
from stillhouse.flow.model_step import not_usable, note
from stillhouse.flow.models import Chat, ModelName, Models, name_of
from stillhouse.flow.react import read_turn
from stillhouse.flow.tools.tool import Tool, ToolError, tool
from stillhouse.json_text import JsonError, read_json
from stillhouse.llm.request import Completion, Request
from stillhouse.llm.tool_calls import object_text

T = TypeVar("T")
ToolCalling = Literal["auto", "native", "text"]
AsTool: TypeAlias = "Tool | Agent[Any] | Callable[..., Any]"  # what an agent takes as a tool
SAME_CALLS = 3  # equal calls with equal observations that an agent may make; one more ends the agent
STOP = "\nObservation:"
_FORM = """\
Work in turns of this form:

Thought: what you think
Action: the name of one tool
Action Input: its arguments, one JSON object

and wait for the Observation. When you know the answer, write instead:

Thought: why you are sure
Final Answer: the answer"""
_OFF_FORM = (
    "that has neither an Action with its Action Input nor a Final Answer; "
    "write one of the two, in the form you were given"
)


class AgentError(StillhouseError):
    """The agent came to no answer; `turns` is what it did until then."""

    def __init__(self, message: str, turns: Sequence["AgentTurn"] = ()) -> None:
        super().__init__(message)
        self.turns = tuple(turns)


@dataclass(frozen=True, slots=True)
class Action:
    """One call of a tool, as the model wrote it."""

    id: str
    tool: str
    arguments: str  # JSON, where the model wrote valid arguments


@dataclass(slots=True)
class AgentTurn:
    """What the model said, the calls it made, and what the tools answered, in the calls' order."""

    text: str
    actions: tuple[Action, ...]
    observations: list[str] = field(default_factory=list)


class ToolNotation(Protocol):
    """How a conversation with tools is written down: by the API's own fields, or in plain text."""

    name: str  # the agent's name in the trace

    def parameters(self, tools: Sequence[Tool]) -> dict[str, Any]: ...

    def system(self, instruction: str, tools: Sequence[Tool]) -> str: ...

    def read(self, completion: Completion, tools: Sequence[Tool] = ()) -> tuple[AgentTurn, str | None]:
        """The turn, and the final answer where it holds one."""
        ...

    def messages(self, turn: AgentTurn) -> list[dict[str, Any]]:
        """The turn and its observations, as the model sees them next."""
        ...


class Native:
    """Tool calls as the chat-completions API has them."""

    name = "native"

    def parameters(self, tools: Sequence[Tool]) -> dict[str, Any]:
        if not tools:
            return {}
        return {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.schema)},
                }
                for tool in tools
            ]
        }

    def system(self, instruction: str, tools: Sequence[Tool]) -> str:
        return instruction

    def read(self, completion: Completion, tools: Sequence[Tool] = ()) -> tuple[AgentTurn, str | None]:
        actions = tuple(Action(call.id, call.name, call.arguments) for call in completion.tool_calls or ())
        text = completion.text or ""
        return AgentTurn(text, actions), None if actions else text.strip() or None

    def messages(self, turn: AgentTurn) -> list[dict[str, Any]]:
        reply: dict[str, Any] = {"role": "assistant", "content": turn.text or None}
        if not turn.actions:
            return [reply, {"role": "user", "content": "That was empty. Call a tool, or give your answer."}]
        reply["tool_calls"] = [
            {"id": action.id, "type": "function", "function": {"name": action.tool, "arguments": action.arguments}}
            for action in turn.actions
        ]
        answers = [
            {"role": "tool", "tool_call_id": action.id, "content": observation}
            for action, observation in zip(turn.actions, turn.observations, strict=True)
        ]
        return [reply, *answers]


class Text:
    """The Thought / Action / Action Input / Observation protocol, for endpoints without tool calls."""

    name = "text"

    def parameters(self, tools: Sequence[Tool]) -> dict[str, Any]:
        return {"stop": [STOP]}

    def system(self, instruction: str, tools: Sequence[Tool]) -> str:
        described = "\n".join(
            f"- {tool.name}: {tool.description}\n  arguments: {json.dumps(tool.schema, ensure_ascii=False)}"
            for tool in tools
        )
        return f"{instruction}\n\nYour tools:\n{described or '- none'}\n\n{_FORM}"

    def read(self, completion: Completion, tools: Sequence[Tool] = ()) -> tuple[AgentTurn, str | None]:
        turn = read_turn(completion.text or "", {tool.name for tool in tools if not tool.schema.get("required")})
        actions = () if turn.tool is None else (Action("", turn.tool, object_text(turn.arguments)),)
        return AgentTurn(turn.text, actions), turn.answer

    def messages(self, turn: AgentTurn) -> list[dict[str, Any]]:
        observation = turn.observations[0] if turn.observations else _OFF_FORM
        return [{"role": "assistant", "content": turn.text}, {"role": "user", "content": f"Observation: {observation}"}]


@dataclass(frozen=True, slots=True)
class Talk(Generic[T]):
    """An agent's answer, and the conversation with it so far: what `history=` takes, in this run or in another one.

    `history` is JSON: a message of the user and one of the assistant for each question. What tools said on the way is
    left out.
    """

    answer: T
    history: tuple[Mapping[str, str], ...]


class Agent(Generic[T]):
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
        output: Any = str,
        description: str = "",
    ) -> None:
        self.description = description
        self.output = AnswerType(lambda: output, f"the agent {name}")
        self.output.check()
        self.instruction, self.tools, self.name = instruction, {tool.name: tool for tool in tools}, name
        self.model, self.max_turns, self.calling = model, max_turns, calling
        self.max_tokens, self.temperature = max_tokens, temperature
        if len(self.tools) < len(tools):
            names = ", ".join(sorted(tool.name for tool in tools))
            raise UserError(f"the agent {name} has two tools of one name ({names}); give one of them another name")

    async def talk(self, task: str, history: Sequence[Mapping[str, str]] = ()) -> Talk[T]:
        """The answer, and the conversation with it: `await helper.talk("And Lisbon?", before.history)`."""
        answer = await self(task, history=history)
        said = answer if isinstance(answer, str) else encode(answer, f"the answer of {self.name}")
        turn = ({"role": "user", "content": task}, {"role": "assistant", "content": said})
        return Talk(answer, (*history, *turn))

    async def __call__(self, task: str, *, history: Sequence[Mapping[str, str]] = ()) -> T:
        """The answer. `history`: the conversation before, as `talk` gives it.

        Raises UserError for a history that is none, AgentError where it comes to no answer, LimitExceeded (with the
        turns so far as `trace`), StepError.
        """
        active = active_run.get()
        _check_history(self.name, history)
        if active is None:
            async with Models() as models:
                answer: T = await _Conversation(self, models, task, history).answer()
                return answer
        given: dict[str, Any] = {"task": task} | ({"history": list(map(dict, history))} if history else {})
        arguments = encode(given, f"the task of {self.name}", canonical=True)
        conversation = _Conversation(self, active.models, task, history)
        version, makes = self.versions(active.models)
        output = await perform(active, self.name, "agent", version, arguments, conversation.answer, makes=makes)
        decoded: T = self.output.adapter.validate_json(output)
        return decoded

    def versions(self, models: Models) -> tuple[str, str]:
        """The version of an answer, and that of what makes a turn of it."""
        model = name_of(models.of(self.name, self.model))
        tools = [[tool.name, tool.description, tool.schema] for tool in self.tools.values()]
        typed = [] if self.output.output == "text" else [self.output.adapter.json_schema()]
        settings = [self.calling, self.max_tokens, self.temperature, model, *typed]
        sources = [
            tool.agent.versions(models)[0] if isinstance(tool, AgentTool) else tool.version
            for tool in self.tools.values()
        ]
        declared = [self.instruction, tools, self.max_turns, *settings]
        # What makes a turn: neither the tools' sources, which make the observations, nor how many turns there may be.
        makes = [self.instruction, tools, *settings]
        # 0.1.0 had what stands before the mark.
        return f"{self._hash(declared)}+{self._hash(sources)}", self._hash(makes)

    def _hash(self, parts: Sequence[Any]) -> str:
        return hashlib.sha256(encode(parts, f"the tools of {self.name}").encode()).hexdigest()[:16]


def _check_history(name: str, history: Sequence[Mapping[str, str]]) -> None:
    """Raises UserError for what is no conversation of a user with an assistant."""
    for message in history:
        if (
            not isinstance(message, Mapping)
            or message.get("role") not in ("user", "assistant")
            or not isinstance(message.get("content"), str)
        ):
            raise UserError(
                f"the agent {name} is given {message!r:.100} as a message of its history; "
                "give the `history` of a Talk, or messages with role (user, assistant) and content"
            )


class _NoToolCalls(Exception):
    """The endpoint refuses tool calls."""


class _Conversation:
    """One task of an agent."""

    def __init__(self, agent: Agent[Any], models: Models, task: str, history: Sequence[Mapping[str, str]] = ()) -> None:
        self.agent, self.models, self.task, self.history = agent, models, task, history
        self.turns: list[AgentTurn] = []
        # (tool, arguments, observation) -> in how many turns the agent saw it.
        self.seen: Counter[tuple[str, str, str]] = Counter()

    async def answer(self) -> Any:
        agent = self.agent
        chat = await self.models.open(self.models.of(agent.name, agent.model))
        if not isinstance(chat, Chat):
            raise UserError(
                f"the agent {agent.name} is given {chat.name}, which answers one task and takes no tools; "
                "name a model that takes messages"
            )
        notation: ToolNotation = Text() if agent.calling == "text" or "tools" in chat.lacks else Native()
        try:
            try:
                return await self._converse(chat, notation)
            except _NoToolCalls:
                return await self._converse(chat, Text())
        except LimitExceeded as error:
            error.trace = tuple(self.turns)
            raise

    async def _converse(self, chat: Chat, notation: ToolNotation) -> Any:
        """The answer. Raises _NoToolCalls where the endpoint refuses tool calls."""
        agent, tools = self.agent, list(self.agent.tools.values())
        note("tool_calling", notation.name)
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": notation.system(self._instruction(), tools)},
            *map(dict, self.history),
            {"role": "user", "content": self.task},
        ]
        digest = hashlib.sha256(canonical_json(messages).encode()).hexdigest()
        misfit = ""  # what is wrong with the last answer
        for number in range(agent.max_turns):
            reply = await self._turn(chat, notation, messages, number, digest)
            if reply["refused"]:
                raise _NoToolCalls
            turn = AgentTurn(reply["text"], tuple(Action(*action) for action in reply["actions"]))
            self.turns.append(turn)
            if reply["final"] is not None:
                try:
                    return str(reply["final"]) if agent.output.output == "text" else agent.output.read(reply["final"])
                except StepError as error:
                    misfit = f", and the last one does not fit: {error}"
                    exchange = [
                        {"role": "assistant", "content": turn.text},
                        {"role": "user", "content": f"That is no answer. {error}\nGive the final answer again."},
                    ]
            else:
                turn.observations = list(await asyncio.gather(*(self._observe(action) for action in turn.actions)))
                self._note_exchanges(turn)
                exchange = notation.messages(turn)
            messages += exchange
            digest = hashlib.sha256((digest + canonical_json(exchange)).encode()).hexdigest()
        raise AgentError(
            f"the agent {agent.name} came to no answer in {agent.max_turns} turns{misfit}; "
            "raise max_turns, or ask for less",
            self.turns,
        )

    async def _turn(
        self, chat: Chat, notation: ToolNotation, messages: list[dict[str, Any]], number: int, digest: str
    ) -> dict[str, Any]:
        """One journaled reply of the model: `text`, `actions`, `final`; `refused` where the endpoint takes no tools."""
        agent = self.agent

        async def ask() -> dict[str, Any]:
            call = current_call.get()
            parameters = {
                "temperature": agent.temperature,
                "max_tokens": agent.max_tokens,
                **notation.parameters(list(agent.tools.values())),
            }
            request = Request(chat.name, tuple(messages), parameters, None, 0 if call is None else call.sample_index)
            may_refuse = isinstance(notation, Native) and agent.calling == "auto" and not self.turns
            if may_refuse and chat.without("tools", request):
                return {"refused": True}
            completion = await chat.complete(request)
            if may_refuse and completion.status == 400:
                chat.lacks.add("tools")
                return {"refused": True}
            if completion.error is not None:
                why = f"the agent {agent.name} got no usable reply in turn {number + 1}: {completion.error}"
                raise not_usable(completion, why)
            turn, final = notation.read(completion, list(agent.tools.values()))
            return {
                "refused": False,
                "text": turn.text,
                "final": final,
                "actions": [[action.id, action.tool, action.arguments] for action in turn.actions],
            }

        arguments = {"turn": number, "transcript": digest}
        reply: dict[str, Any] = await journaled(f"{agent.name}.turn", "turn", arguments, ask)
        return reply

    def _instruction(self) -> str:
        """What the agent is told, with the form of its answer."""
        answer = self.agent.output
        if answer.labels is not None:
            return f"{self.agent.instruction}\n\nThe final answer is one of: {', '.join(answer.labels)}"
        if answer.schema is not None:
            return f"{self.agent.instruction}\n\nThe final answer is one JSON value. {answer.asked()}"
        return self.agent.instruction

    def _note_exchanges(self, turn: AgentTurn) -> None:
        """Count the turn's calls with their observations; equal ones in one turn are work side by side, and no loop.

        Raises AgentError where the agent goes round in circles.
        """
        made = zip(turn.actions, turn.observations, strict=True)
        exchanges = {(action.tool, action.arguments, observation): action for action, observation in made}
        self.seen.update(exchanges.keys())
        for exchange, action in exchanges.items():
            if self.seen[exchange] > SAME_CALLS:
                again = f"calls {action.tool} with {action.arguments[:200]} for the {self.seen[exchange]}th time"
                raise AgentError(
                    f"the agent {self.agent.name} {again}, with the same answer each time; "
                    "mend its instruction, or the tool",
                    self.turns,
                )

    async def _observe(self, action: Action) -> str:
        """Call the tool. What goes wrong becomes the observation, for the model to mend."""
        wanted = self.agent.tools.get(action.tool)
        if wanted is None:
            names = ", ".join(self.agent.tools) or "none"
            return f"Error: there is no tool {action.tool[:100]!r}; the tools are: {names}"
        try:
            arguments = read_json(action.arguments or "{}")
        except JsonError as error:
            return f"Error: the arguments of {wanted.name} are not valid JSON ({error}); give one JSON object"
        if not isinstance(arguments, dict):
            return f"Error: the arguments of {wanted.name} are not a JSON object; give one"
        return str(await call_tool(wanted, arguments))


async def call_tool(called: Tool, arguments: Mapping[str, Any]) -> str:
    """Call a tool, journaled inside a run; a ToolError is an observation that begins with `Error:`.

    So is an AgentError of an agent that is the tool. Its calls are journaled as the agent's.
    """
    if isinstance(called, AgentTool):
        task = arguments.get(TASK)
        if not isinstance(task, str) or len(arguments) > 1:
            return f"Error: {called.name} takes one argument, {TASK}, a text"
        try:
            answer = await called.agent(task)
        except AgentError as error:
            return f"Error: {error}"
        return answer if isinstance(answer, str) else encode(answer, f"the answer of {called.name}")

    async def call() -> str:
        try:
            return await called.call(arguments)
        except ToolError as error:
            note("tool_error", str(error))
            return f"Error: {error}"

    return str(await journaled(called.name, "tool", arguments, call, called.step_version))


@overload
def agent(
    instruction: str,
    tools: Sequence[AsTool] = (),
    *,
    name: str = "agent",
    model: ModelName | None = None,
    max_turns: int = 20,
    calling: ToolCalling = "auto",
    max_tokens: int = 1024,
    temperature: float = 0.0,
    description: str = "",
) -> Agent[str]: ...


@overload
def agent(
    instruction: str,
    tools: Sequence[AsTool] = (),
    *,
    name: str = "agent",
    model: ModelName | None = None,
    max_turns: int = 20,
    calling: ToolCalling = "auto",
    max_tokens: int = 1024,
    temperature: float = 0.0,
    output: type[T],
    description: str = "",
) -> Agent[T]: ...


@overload
def agent(
    instruction: str,
    tools: Sequence[AsTool] = (),
    *,
    name: str = "agent",
    model: ModelName | None = None,
    max_turns: int = 20,
    calling: ToolCalling = "auto",
    max_tokens: int = 1024,
    temperature: float = 0.0,
    output: Any,
    description: str = "",
) -> Agent[Any]: ...


def agent(
    instruction: str,
    tools: Sequence[AsTool] = (),
    *,
    name: str = "agent",
    model: ModelName | None = None,
    max_turns: int = 20,
    calling: ToolCalling = "auto",
    max_tokens: int = 1024,
    temperature: float = 0.0,
    output: Any = str,
    description: str = "",
) -> Agent[Any]:
    """An agent that follows `instruction` with these tools (typed functions, Tools, or other agents).

    `name` is its step's name in journal and trace. `calling`: native tool calls, the text protocol, or (auto) native
    until the endpoint refuses them. `output`: the type of its answer, as a model step has it; what does not fit goes
    back to the model, within `max_turns`. `description`: what it is good for, where it is a tool of another agent.
    """
    made = [
        as_tool(entry) if isinstance(entry, Agent) else entry if isinstance(entry, Tool) else tool(entry)
        for entry in tools
    ]
    return Agent(
        instruction,
        made,
        name=name,
        model=model,
        max_turns=max_turns,
        calling=calling,
        max_tokens=max_tokens,
        temperature=temperature,
        output=output,
        description=description,
    )

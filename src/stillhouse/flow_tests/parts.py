"""The parts of an app that a case can call by name.

They are its steps, agents and tools, its decisions, and the flow as a whole.
"""

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stillhouse.errors import DatasetError, UserError
from stillhouse.flow.agent import Agent, call_tool
from stillhouse.flow.agent_tools import AgentTool
from stillhouse.flow.call import active_run, encode
from stillhouse.flow.decide import decide
from stillhouse.flow.engine import Flow
from stillhouse.flow.models import EVERY_STEP
from stillhouse.flow.testing import typed_arguments
from stillhouse.flow.tools.tool import Tool
from stillhouse.flow_tests.decisions import model_of_decision

DECIDES = {"question", "options"}  # the arguments by which a case of a decision is known


@dataclass(frozen=True)
class Part:
    """One part of an app, as a flow of its own."""

    name: str
    flow: Flow[Any, Any]
    needs: tuple[str, ...]  # the arguments that must be given
    choices: Mapping[str, Any] | None = None  # the labels of a choice, each with its value
    decides: bool = False  # True where the part's answer decides which branch is taken
    wrapped: str | None = None  # name of the flow's one argument, where that holds the part's arguments
    schema: Mapping[str, Any] | None = None  # JSON schema of the answer of a model step; None: it is no JSON

    @property
    def labels(self) -> tuple[str, ...] | None:
        return None if self.choices is None else tuple(self.choices)

    def arguments(self, case_input: Any, where: str) -> Mapping[str, Any]:
        """A case's input as the flow takes it. Raises DatasetError.

        An object is the arguments; anything else is the one argument that must be given.
        """
        if not isinstance(case_input, dict):
            if len(self.needs) != 1:
                needs = ", ".join(self.needs) or "no arguments"
                raise DatasetError(f"{where}: {self.name} needs {needs}; write `input` as an object of them")
            case_input = {self.needs[0]: case_input}
        return case_input if self.wrapped is None else {self.wrapped: case_input}

    def call(self, arguments: Mapping[str, Any], what: str) -> str:
        """The arguments as the journal has them: typed, with defaults, canonical.

        Raises UserError where they do not fit.
        """
        bound = typed_arguments(self.flow.function, arguments, what).arguments
        return encode(bound if self.wrapped is None else bound[self.wrapped], f"the input of {what}", canonical=True)


def _part(flow: Flow[Any, Any], choices: Mapping[str, Any] | None = None, *, decides: bool = False) -> Part:
    """A part whose arguments are those of the flow's function.

    Those without a default must be given; a single argument always must.
    """
    takes = inspect.signature(flow.function).parameters.values()
    needs = tuple(parameter.name for parameter in takes if parameter.default is parameter.empty or len(takes) == 1)
    return Part(flow.name, flow, needs, choices, decides)


class Parts:
    """The parts of the app in which a flow is."""

    def __init__(self, flow: Flow[Any, Any]) -> None:
        self.whole = _part(flow)
        self._flow = flow
        self._by_name: dict[str, Part] = {}
        for value in vars(sys.modules[flow.function.__module__]).values():
            if isinstance(value, Agent):
                self._by_name |= self._of_agent(value)
            elif isinstance(value, Tool):
                self._by_name[value.name] = self._tool(value)
            elif (declared := getattr(value, "stillhouse_step", None)) is not None:
                self._by_name[declared.name] = self._step(declared.name, value)

    def find(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Part:
        """The part of that name. Raises UserError.

        Where there is none, and the rows ask questions with options, it is a decision.
        """
        if name in self._by_name:
            return self._by_name[name]
        if rows and all(isinstance(row.get("input"), dict) and row["input"].keys() >= DECIDES for row in rows):
            return self._decision(name)
        module, steps = self._flow.function.__module__, ", ".join(sorted(self._by_name)) or "none"
        raise UserError(f"{name}.jsonl: {module} has no step {name!r}; it has {steps}, and the flow {self._flow.name}")

    def decides(self, name: str, kind: str) -> bool:
        """Whether calls of that name take a branch: a decision, or a step that answers with a choice."""
        return kind == "decide" or (name in self._by_name and self._by_name[name].decides)

    def _step(self, name: str, step: Any) -> Part:
        by_model = hasattr(step, "task")
        choices = step.choices() if by_model else None
        part = _part(Flow(step, name, self._flow.model), choices, decides=choices is not None)
        return replace(part, schema=step.answer_schema() if by_model else None)

    def _of_agent(self, agent: Agent[Any]) -> dict[str, Part]:
        """The agent, its tools, and the agents among them with theirs."""
        parts = {agent.name: self._agent(agent)}
        for name, tool in agent.tools.items():
            parts |= self._of_agent(tool.agent) if isinstance(tool, AgentTool) else {name: self._tool(tool)}
        return parts

    def _agent(self, agent: Agent[Any]) -> Part:
        async def ask(task: str) -> Any:
            return await agent(task)

        return _part(Flow(ask, agent.name, self._flow.model))

    def _tool(self, tool: Tool) -> Part:
        async def use(arguments: dict[str, Any]) -> str:
            return await call_tool(tool, arguments)

        takes = tool.schema.get("properties", {})
        needs = tuple(takes) if len(takes) == 1 else tuple(tool.schema.get("required", ()))
        return Part(tool.name, Flow(use, tool.name), needs, wrapped="arguments")

    def _decision(self, name: str) -> Part:
        module = sys.modules[self._flow.function.__module__]

        async def ask(question: str, options: list[str], about: Any = None) -> str:
            active = active_run.get()
            named = {} if active is None else active.models.named
            model = None if {name, EVERY_STEP} & named.keys() else model_of_decision(module, name)
            return str(await decide(question, options, about, model=model, name=name))

        return _part(Flow(ask, name, self._flow.model), decides=True)

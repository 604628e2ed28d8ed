"""An agent's calls in the journal of a flow.

Inside a flow each model request, tool call and MCP call of a pydantic-ai agent is a step of the run. This is an engine
behind pydantic-ai's own interface for durable execution, as its Temporal, DBOS and Prefect ones are: the agent's loop
is plain code that runs again on resume, and what it asks for comes from the journal. A call is known by what it asks
(`call_key`), never by its number in the run. So agents that run at the same time cannot take each other's answers.
Outside a flow the agent is what it was.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic_ai.agent import AbstractAgent, WrapperAgent
from pydantic_ai.capabilities.abstract import WrapRunHandler
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    DurabilityEngineSpec,
    DurableOperationBackend,
    DurableOperationId,
    JournalCallableOperationBackend,
    ModelRequestId,
    RoleBasedOperationConfig,
    conversation_id_from_run_id,
    record_durable_unit,
    replay_scope,
)
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import RunContext
from pydantic_core import PydanticSerializationError

from stillhouse.errors import UserError
from stillhouse.flow import now
from stillhouse.flow.call import active_run, current_call, error_line, perform
from stillhouse.interop.pydantic_ai.call_key import call_key
from stillhouse.interop.pydantic_ai.spending import in_flight, note_response, within_limits
from stillhouse.store.journal import args_and_branch, branch_key


class StillhouseDurability(BaseDurabilityCapability[Any]):
    """Give it to an agent, and the agent's calls are journaled wherever a flow runs it.

        Agent(..., name="support", capabilities=[StillhouseDurability()])

    The agent needs a name, and a toolset other than its own needs an id: both stand in the journal. `models`: other
    models that a run may ask for, by a key of yours. Toolsets given to a single run are refused inside a flow. What
    tools return, and what an MCP server says, must be JSON types, dataclasses or pydantic models.

    Two runs of one agent may begin at the same time with the same messages. They are told apart by their dependencies,
    as far as these are JSON; of another object only the type counts. Beyond that they are told apart by the order in
    which they ask: give each such run a step of its own.
    """

    engine_spec = DurabilityEngineSpec(
        engine_name="Stillhouse",
        durable_unit_noun="step",
        durable_container_noun="flow",
        codec=JSON_CODEC,
        # Steps run in the flow's own process. So a run keeps one session with an MCP server, which is opened by the
        # first call that is not in the journal.
        toolset_lifecycles={"function": "enter-always", "mcp": "enter-in-durable-unit", "dynamic": "enter-never"},
        unsupported_runtime_toolset_kinds=frozenset({"function", "mcp", "dynamic"}),
    )

    def __init__(self, *, models: Mapping[str, Model] | None = None, name: str | None = None) -> None:
        super().__init__(models=models, name=name)

    @property
    def in_durable_context(self) -> bool:
        return active_run.get() is not None

    def get_durable_operation_backend(self) -> DurableOperationBackend[None]:
        return _JournalBackend(self.name)

    def get_default_run_id(self) -> str | None:
        """The id of an agent's run, the same on resume.

        It holds the flow's run, the agent, and the number of this run among those that the step, or the flow itself,
        makes of the agent.
        """
        active = active_run.get()
        if active is None:
            return None
        key = active.pending(f"{self.name}.run", "").key
        digest, branch = args_and_branch(key)
        return f"{active.run}/{key[0]}/{branch_key(digest[:12], branch)}/{key[2]}"

    def get_default_conversation_id(self, run_id: str) -> str | None:
        return conversation_id_from_run_id(run_id) if self.in_durable_context else None

    async def get_run_start_time(self, run_id: str) -> datetime | None:
        return now(f"start of {run_id}") if self.in_durable_context else None

    async def wrap_run(self, ctx: RunContext[Any], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        with replay_scope():  # what the journal answered sent its spans and metrics when it first ran
            try:
                return await super().wrap_run(ctx, handler=handler)
            except UnexpectedModelBehavior as error:
                _discard_last_turn(f"{self.name}.turn", error)
                raise


def _discard_last_turn(name: str, error: UnexpectedModelBehavior) -> None:
    """Journal the last reply of an agent that could not go on with it as failed, so that a resume asks anew."""
    active, around = active_run.get(), current_call.get()
    if active is None:
        return
    parent = None if around is None else around.id
    turns = [row for row in active.journal.steps(active.run) if row.key[0] == name and row.parent == parent]
    last = max((row for row in turns if row.output is not None), key=lambda row: row.started, default=None)
    if last is not None:
        active.journal.write(active.run, replace(last, output=None, error=error_line(error), ended_nth=None))


class _JournalBackend(JournalCallableOperationBackend[None]):
    def __init__(self, agent: str) -> None:
        super().__init__(
            agent_name=agent, config=RoleBasedOperationConfig(model=None, event=None, capability=None, tool=None)
        )
        self._agent = agent

    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: None,
    ) -> object:
        active = active_run.get()
        assert active is not None, "pydantic-ai asks for steps inside a flow alone"
        call = call_key(self._agent, operation_id, name, cache_key)
        ran = False

        async def once() -> object:
            nonlocal ran
            ran = True
            try:
                return await (_turn(body, cache_key) if isinstance(operation_id, ModelRequestId) else body())
            except PydanticSerializationError as error:
                remedy = "return JSON types, dataclasses or pydantic models"
                raise UserError(f"the result of {call.name} cannot be stored ({error}); {remedy}") from error

        output = await perform(active, call.name, call.kind, call.version, call.arguments, once)
        record_durable_unit(executed=ran)
        return json.loads(output)


async def _turn(body: Callable[[], Awaitable[object]], identity: tuple[Any, ...]) -> object:
    """A model request, within the flow's limits and counted by them."""
    _, messages, settings, parameters, context = identity
    async with within_limits(context.model, settings, messages, parameters), in_flight(context.model):
        payload = await body()
    note_response(JSON_CODEC.load(ModelResponse, payload))
    return payload


class JournaledAgent(WrapperAgent[Any, Any]):
    """An agent with the durability that it was not built with, given to each of its runs."""

    def __init__(self, wrapped: AbstractAgent[Any, Any], durability: StillhouseDurability) -> None:
        super().__init__(wrapped)
        self._durability = durability

    @asynccontextmanager
    async def iter(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["capabilities"] = [*(kwargs.get("capabilities") or ()), self._durability]
        async with super().iter(*args, **kwargs) as run:
            yield run


def journaled(
    agent: AbstractAgent[Any, Any], *, models: Mapping[str, Model] | None = None, name: str | None = None
) -> JournaledAgent:
    """An agent that somebody else built, journaled inside flows; `models` and `name` as for StillhouseDurability."""
    return JournaledAgent(agent, StillhouseDurability(models=models, name=name))

"""What a call of an agent is in the journal: its name, its kind, what it asks, and the version of whatever answers.

What differs from one sitting to the next and says nothing about the call stays out: when a message was made, and the
ids of the agent's run. What tells two calls apart goes in: the history so far and the run's dependencies. They are
stored as one digest, since both may be long and dependencies may hold secrets. A model request stores what is new in it
since the last reply; the rest stands in the rows of the turns before. So the text of a long loop grows linearly.
"""

import functools
import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.durable_exec import (
    DurableOperationId,
    ModelRequestId,
    ToolsetCallToolId,
    ToolsetGetInstructionsId,
    ToolsetGetToolsId,
    ToolsetValidateToolArgumentsId,
)
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelRequest, ModelResponse
from pydantic_ai.models import AbstractModel, ModelRequestParameters
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset, ToolsetTool
from pydantic_core import to_jsonable_python

from stillhouse.flow.call import canonical_json
from stillhouse.flow.edits import version_of

_LIVE = (AbstractAgent, AbstractCapability, AbstractModel, AbstractToolset, Iterator)
_SAID: Any = {"__all__": {"kind", "parts", "instructions"}}
_WHEN: Any = {"__all__": {"parts": {"__all__": {"timestamp"}}}}


@dataclass(frozen=True, slots=True)
class CallKey:
    """A call as `flow.call.perform` takes it."""

    name: str
    kind: str
    version: str
    arguments: str  # canonical JSON


def call_key(agent: str, operation: DurableOperationId, name: str, identity: tuple[Any, ...]) -> CallKey:
    """The key of an operation that pydantic-ai wants to be durable.

    `name` is what pydantic-ai calls the operation; `identity` is what by its account tells the operation's calls apart.
    """
    match operation:
        case ModelRequestId():
            _, messages, settings, parameters, context = identity
            return _turn(agent, operation, messages, settings, parameters, context)
        case ToolsetCallToolId() | ToolsetValidateToolArgumentsId():
            tool_name, arguments, context, tool = identity
            validates = ".validate" if isinstance(operation, ToolsetValidateToolArgumentsId) else ""
            question = {
                "args": _plain(arguments),
                "call": context.tool_call_id,
                "retry": context.retry,
                "context": _context(context.messages, context.deps),
            }
            called = f"{agent}.{context.tool_name or tool_name}{validates}"
            return CallKey(called, "tool", _tool_version(tool), canonical_json(question))
        case ToolsetGetToolsId(toolset_id=toolset) | ToolsetGetInstructionsId(toolset_id=toolset):
            (context,) = identity
            what = "tools" if isinstance(operation, ToolsetGetToolsId) else "instructions"
            question = {"context": _context(context.messages, context.deps)}
            return CallKey(f"{agent}.{toolset}.{what}", "value", "", canonical_json(question))
        case _:  # an operation of a capability, a workspace or a compaction
            return CallKey(name, "step", "", canonical_json([_plain(part) for part in identity]))


def _turn(
    agent: str,
    operation: ModelRequestId,
    messages: Sequence[ModelMessage],
    settings: Any,
    parameters: ModelRequestParameters,
    context: RunContext[Any],
) -> CallKey:
    new = 1 + max((at for at, message in enumerate(messages) if isinstance(message, ModelResponse)), default=-1)
    question = {"messages": json.loads(_told(messages[new:])), "context": _context(messages[:new], context.deps)}
    offered = (
        parameters.function_tools,
        parameters.native_tools,
        parameters.output_tools,
        parameters.output_mode,
        parameters.output_object,
    )
    version = _digest([operation.model_id, operation.model_name, _plain(settings), [_plain(part) for part in offered]])
    return CallKey(f"{agent}.turn", "turn", version[:16], canonical_json(question))


def _context(messages: Sequence[ModelMessage], deps: Any) -> str:
    """Which run of the agent this is, and how far it is."""
    digest = hashlib.sha256(_told(messages))
    digest.update(canonical_json(_plain(deps)).encode())
    return digest.hexdigest()


def _told(messages: Sequence[ModelMessage]) -> bytes:
    """What the messages say, as JSON: the same in every sitting."""
    told: bytes = ModelMessagesTypeAdapter.dump_json(list(messages), include=_SAID, exclude=_WHEN)
    return told


def _tool_version(tool: ToolsetTool[Any] | ToolDefinition | None) -> str:
    """A hash of a tool's source where it is a Python function, else of what it says it takes.

    So an edited tool is called again.
    """
    if not isinstance(tool, ToolsetTool):
        return _digest(_plain(tool))[:16]
    if isinstance(tool.toolset, FunctionToolset):
        declared = tool.toolset.tools.get(getattr(tool, "original_name", None) or tool.tool_def.name)
        if declared is not None and inspect.isfunction(declared.function):
            return version_of(declared.function)
    return _digest(_plain(tool.tool_def))[:16]


def _plain(value: Any, within: tuple[int, ...] = ()) -> Any:
    """JSON of a value, the same in every sitting.

    A part that is no JSON (a client, a lock, an agent, a value within itself) is written as its type's name.
    """
    if isinstance(value, RunContext):
        return _context(value.messages, value.deps)
    if isinstance(value, ModelRequest | ModelResponse):
        return json.loads(_told([value]))
    if isinstance(value, _LIVE) or id(value) in within:
        return _type_name(value)
    plain = functools.partial(_plain, within=(*within, id(value)))
    if isinstance(value, set | frozenset):  # a set's order differs from process to process
        return sorted(map(plain, value), key=canonical_json)
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name, None)) for field in fields(value)}
    if isinstance(value, BaseModel):
        return {name: plain(part) for name, part in value}
    return to_jsonable_python(value, fallback=_type_name, bytes_mode="base64")


def _type_name(value: object) -> str:
    return f"<{type(value).__qualname__}>"


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()

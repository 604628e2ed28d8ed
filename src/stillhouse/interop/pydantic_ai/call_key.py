"""What a call of an agent is in the journal: its name, its kind, what it asks, and the version of whatever answers.

What differs from one sitting to the next and says nothing about the call stays out: when a message was made, and the ids of the agent's run. What tells two
calls apart goes in: the history so far and the run's dependencies, as one digest, since both may be long and dependencies may hold secrets. A model request
stores what is new in it since the last reply; what is before that stands in the rows of the turns before, so a long loop's text grows linearly.
"""

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_ai.durable_exec import (
    DurableOperationId,
    ModelRequestId,
    ToolsetCallToolId,
    ToolsetGetInstructionsId,
    ToolsetGetToolsId,
    ToolsetValidateToolArgumentsId,
)
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter
from pydantic_ai.models import ModelRequestContext, ModelRequestParameters
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import FunctionToolset, ToolsetTool
from pydantic_core import to_jsonable_python

from stillhouse.flow.call import canonical_json
from stillhouse.flow.engine import version_of


@dataclass(frozen=True, slots=True)
class CallKey:
    """A call as `flow.call.perform` takes it."""

    name: str
    kind: str
    version: str
    arguments: str  # canonical JSON


def call_key(agent: str, operation: DurableOperationId, name: str, identity: tuple[Any, ...]) -> CallKey:
    """The key of an operation that pydantic-ai wants to be durable. `identity` is what it says tells the operation's calls apart, `name` what it calls it."""
    match operation:
        case ModelRequestId():
            _, messages, settings, parameters, context = identity
            return _turn(agent, operation, messages, settings, parameters, context)
        case ToolsetCallToolId() | ToolsetValidateToolArgumentsId():
            tool_name, arguments, context, tool = identity
            validates = ".validate" if isinstance(operation, ToolsetValidateToolArgumentsId) else ""
            asked = {"args": _plain(arguments), "call": context.tool_call_id, "retry": context.retry, "context": _context(context)}
            return CallKey(f"{agent}.{context.tool_name or tool_name}{validates}", "tool", _tool_version(tool), canonical_json(asked))
        case ToolsetGetToolsId(toolset_id=toolset) | ToolsetGetInstructionsId(toolset_id=toolset):
            (context,) = identity
            what = "tools" if isinstance(operation, ToolsetGetToolsId) else "instructions"
            return CallKey(f"{agent}.{toolset}.{what}", "value", "", canonical_json({"context": _context(context)}))
        case _:  # a capability's own operation, a workspace, compaction, an event's handler
            return CallKey(name, "step", "", canonical_json([_plain(part) for part in identity]))


def _turn(
    agent: str,
    operation: ModelRequestId,
    messages: Sequence[ModelMessage],
    settings: Any,
    parameters: ModelRequestParameters,
    context: RunContext[Any],
) -> CallKey:
    told = _messages(messages)
    new = 1 + max((at for at, message in enumerate(told) if message["kind"] == "response"), default=-1)
    arguments = canonical_json({"messages": told[new:], "context": _digest([told[:new], _plain(context.deps)])})
    offered = (parameters.function_tools, parameters.native_tools, parameters.output_tools, parameters.output_mode, parameters.output_object)
    version = _digest([operation.model_id, operation.model_name, _plain(settings), [_plain(part) for part in offered]])
    return CallKey(f"{agent}.turn", "turn", version[:16], arguments)


def _context(context: RunContext[Any]) -> str:
    """Which run of the agent this is, and how far it is."""
    return _digest([_messages(context.messages), _plain(context.deps)])


def _messages(messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    """Messages as JSON, without what differs between two sittings."""
    dumped: list[dict[str, Any]] = ModelMessagesTypeAdapter.dump_python(list(messages), mode="json")
    for message in dumped:
        for name in ("timestamp", "run_id", "conversation_id"):
            message.pop(name, None)
        for part in message["parts"]:
            part.pop("timestamp", None)
    return dumped


def _tool_version(tool: ToolsetTool[Any] | ToolDefinition | None) -> str:
    """A hash of a tool's source where it is a Python function, else of what it says it takes: an edited tool is called again."""
    if not isinstance(tool, ToolsetTool):
        return _digest(_plain(tool))[:16]
    if isinstance(tool.toolset, FunctionToolset):
        declared = tool.toolset.tools.get(getattr(tool, "original_name", None) or tool.tool_def.name)
        if declared is not None and inspect.isfunction(declared.function):
            return version_of(declared.function)
    return _digest(_plain(tool.tool_def))[:16]


def _plain(value: Any) -> Any:
    """JSON of a value; of what is none within it (a client, a lock) the type's name."""
    if isinstance(value, RunContext):
        return _context(value)
    if isinstance(value, ModelRequestContext):
        return _messages(value.messages)
    try:
        return _json(value)
    except (RecursionError, ValueError):  # it holds itself
        return _type_name(value)


def _json(value: Any) -> Any:
    if isinstance(value, set | frozenset):  # in an order of its own in every process
        return sorted((_json(one) for one in value), key=canonical_json)
    if isinstance(value, Mapping):
        return {str(name): _json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, BaseModel):
        return {name: _json(one) for name, one in value}
    return to_jsonable_python(value, fallback=_type_name, bytes_mode="base64")


def _type_name(value: object) -> str:
    return f"<{type(value).__qualname__}>"


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()

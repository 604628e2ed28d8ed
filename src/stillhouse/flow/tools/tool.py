"""A tool: a typed function with its description and the JSON schema of its arguments, called with what a model wrote."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic_core import PydanticSerializationError, to_json

from stillhouse.errors import StillhouseError, UserError


class ToolError(StillhouseError):
    """What a model should see as its observation: why the tool gave no answer."""


@dataclass(frozen=True)
class Tool:
    """A tool. `schema` is the JSON schema of the arguments object."""

    name: str
    description: str
    schema: Mapping[str, Any]
    run: Callable[[Mapping[str, Any]], Awaitable[str]] = field(repr=False)

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """The observation as text. Raises ToolError."""
        return await self.run(arguments)


def tool(function: Callable[..., Any] | None = None, *, name: str | None = None, timeout_s: float = 60, max_chars: int = 20_000) -> Any:
    """Make a typed function a tool. Its docstring is the description."""
    if function is None:
        return functools.partial(tool, name=name, timeout_s=timeout_s, max_chars=max_chars)
    called = name or function.__name__
    hints = get_type_hints(function)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        fields[parameter.name] = (hints.get(parameter.name, Any), ... if parameter.default is parameter.empty else parameter.default)
    if not function.__doc__:
        raise UserError(f"the tool {called} has no docstring; write what it does, for the model to read")
    arguments_model = create_model(called, __config__=ConfigDict(extra="forbid"), **fields)

    async def run(arguments: Mapping[str, Any]) -> str:
        try:
            given = arguments_model.model_validate(dict(arguments))
        except ValidationError as error:
            problem = error.errors()[0]
            raise ToolError(f"{called}: the argument {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
        values = {key: getattr(given, key) for key in fields}
        try:
            async with asyncio.timeout(timeout_s):
                result = await function(**values) if inspect.iscoroutinefunction(inspect.unwrap(function)) else await asyncio.to_thread(function, **values)
        except TimeoutError:
            raise ToolError(f"{called} took longer than {timeout_s:g} s") from None
        except ToolError:
            raise
        except Exception as error:
            raise ToolError(f"{called} failed ({type(error).__name__}: {error})") from None
        return _text(result, called, max_chars)

    return Tool(called, inspect.cleandoc(function.__doc__), TypeAdapter(arguments_model).json_schema(), run)


def _text(result: Any, called: str, max_chars: int) -> str:
    if not isinstance(result, str):
        try:
            result = to_json(result).decode()
        except (PydanticSerializationError, ValueError):
            raise ToolError(f"{called} gave a {type(result).__name__}, which is no text") from None
    return result if len(result) <= max_chars else f"{result[:max_chars]}\n[cut: {len(result) - max_chars} more characters]"

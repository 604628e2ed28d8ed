"""A tool: a typed function, its description for a model and the JSON schema of its arguments.

It is called with what a model wrote. Whatever it does, the caller gets a text of bounded length, or a ToolError of one
sentence: arguments are checked, time is limited, long results are cut.
"""

import asyncio
import contextlib
import contextvars
import functools
import inspect
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError, to_json

from stillhouse.addresses import without_secrets
from stillhouse.errors import StillhouseError, UserError
from stillhouse.flow.call import journaled
from stillhouse.flow.edits import version_of

T = TypeVar("T")
MAX_ERROR_CHARS = 500  # most characters of another program's error that an error of ours quotes
GRACE_S = 1.0  # seconds that a cancelled async tool has to end
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # the pattern of function names that the chat-completions API takes


class ToolError(StillhouseError):
    """What a model should see as its observation: one sentence on why the tool gave no answer."""


@dataclass(frozen=True)
class Tool:
    """A tool.

    `schema` is the JSON schema of the arguments object, as the chat-completions API wants it under
    `function.parameters`.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    run: Callable[[Mapping[str, Any]], Awaitable[str]] = field(repr=False)
    version: str = field(default="", repr=False)  # a hash of its source, by default of that of `run`

    def __post_init__(self) -> None:
        if not self.version:
            object.__setattr__(self, "version", _version_of(self.run))
        if not _NAME.fullmatch(self.name):
            raise UserError(f"{self.name!r} cannot name a tool; use up to 64 letters, digits, _ and -")

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """The observation as text. Raises ToolError.

        Errors that Stillhouse raises on purpose pass as they are, because no model can mend them: a limit of the flow
        is reached, no money is left, the store is full.
        """
        return await self.run(arguments)

    async def __call__(self, **arguments: Any) -> str:
        """As `call`, written as in Python; inside a flow the answer is journaled. Raises ToolError."""
        return str(await journaled(self.name, "tool", arguments, lambda: self.run(arguments), self.step_version))

    @property
    def step_version(self) -> str:
        """The version of its calls: an edited tool runs again."""
        return f"+{self.version}"  # nothing before the mark: 0.1.0 gave all tools one version


@overload
def tool(
    function: Callable[..., Any], *, name: str | None = None, timeout_s: float = 60, max_chars: int = 20_000
) -> Tool: ...


@overload
def tool(
    function: None = None, *, name: str | None = None, timeout_s: float = 60, max_chars: int = 20_000
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    timeout_s: float = 60,
    max_chars: int = 20_000,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a typed function, sync or async, a tool: its docstring is the description, its annotations are the schema.

    A sync function runs in a thread of its own. One that takes longer than `timeout_s` is given up: an async one is
    cancelled, a sync one is left behind, because no thread can be ended from outside. Of a longer result the first
    `max_chars` characters are kept, and the text says what is cut. Raises UserError where the function has no
    docstring, or a parameter no annotation.
    """
    if function is None:
        return functools.partial(tool, name=name, timeout_s=timeout_s, max_chars=max_chars)
    called = name or str(getattr(function, "__name__", type(function).__name__))
    description = inspect.getdoc(function) if inspect.isroutine(function) else None
    if not description:
        raise UserError(
            f"the tool {called} is no function with a docstring; "
            "write one that says what it does, for the model to read"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UserError(f"the tool {called} yields its result; return it whole")
    if timeout_s <= 0 or max_chars <= 0:
        raise UserError(
            f"the tool {called} has timeout_s = {timeout_s} and max_chars = {max_chars}; both must be above 0"
        )
    arguments = _Arguments(function, called)

    async def run(written: Mapping[str, Any]) -> str:
        values = arguments.check(written)
        try:
            return await in_time(_answer(function, values, called, max_chars), timeout_s)
        except TimeoutError:
            raise ToolError(f"{called} took longer than {timeout_s:g} s and was given up; ask for less") from None

    return Tool(called, description, arguments.schema, run, _version_of(function))


def _version_of(function: Callable[..., Any]) -> str:
    """A hash of a tool's source; empty where there is none, as for a function that is not written in Python."""
    while isinstance(function, functools.partial):
        function = function.func
    try:
        return version_of(inspect.unwrap(function))
    except AttributeError:
        return ""


async def _answer(function: Callable[..., Any], values: Mapping[str, Any], called: str, max_chars: int) -> str:
    """Call the function and write down what it gives: the text itself, else JSON."""
    try:
        # Unwrapped, because a step is a plain function around an async one.
        if inspect.iscoroutinefunction(inspect.unwrap(function)):
            return as_text(await function(**values), called, max_chars)
        return await in_thread(lambda: as_text(function(**values), called, max_chars))
    except StillhouseError:
        raise
    except (Exception, SystemExit) as error:  # the user's own code may raise anything, and the flow goes on
        raise ToolError(f"{called} failed ({short_error(error)})") from error


# Arguments


class _Schema(GenerateJsonSchema):
    """Pydantic's schema without the titles, which repeat the names and cost tokens in every request."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class _Arguments:
    """The parameters of a function as a pydantic model."""

    def __init__(self, function: Callable[..., Any], called: str) -> None:
        try:
            hints = get_type_hints(function, include_extras=True)
        except NameError as error:
            raise UserError(
                f"the tool {called} has an annotation that cannot be read ({error}); "
                "import the type at the top of its module"
            ) from None
        fields: dict[str, Any] = {}
        self.names: list[str] = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                problem = f"the tool {called} takes {parameter}, which a model cannot name"
                raise UserError(f"{problem}; give it plain parameters")
            if parameter.name not in hints:
                raise UserError(
                    f"the parameter {parameter.name} of the tool {called} has no annotation; "
                    "write its type, for the model's answer to be checked"
                )
            default = ... if parameter.default is parameter.empty else parameter.default
            # An alias, because a parameter may be called `schema` or `copy`, which are names of pydantic's own.
            fields[f"field_{len(fields)}"] = (hints[parameter.name], Field(default, alias=parameter.name))
            self.names.append(parameter.name)
        self._called = called
        try:
            config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
            self._model: type[BaseModel] = create_model(called, __config__=config, **fields)
            self.schema = self._model.model_json_schema(schema_generator=_Schema)
        except PydanticUserError as error:
            raise UserError(
                f"the tool {called} takes a type that has no JSON schema ({first_line(error)}); "
                "use JSON types, dataclasses or pydantic models"
            ) from None
        self.schema.pop("title", None)

    def check(self, written: Mapping[str, Any]) -> dict[str, Any]:
        """The values to call with, as the annotations say. Raises ToolError naming the argument."""
        for name, value in written.items():
            if name not in self.names:
                known = ", ".join(self.names) or "none"
                raise ToolError(f"{self._called} has no argument {clean(str(name))[:100]}; it takes {known}")
            try:
                to_json(value)
            except (PydanticSerializationError, ValueError, RecursionError) as error:
                reason = first_line(error).removeprefix("Error serializing to JSON: ")
                raise ToolError(
                    f"{self._called} was given {_shown(value)} as {name}, which is no JSON ({reason})"
                ) from None
        try:
            checked = self._model.model_validate(dict(written))
        except ValidationError as error:
            raise ToolError(self._problem(error)) from None
        return {name: getattr(checked, f"field_{number}") for number, name in enumerate(self.names)}

    def _problem(self, error: ValidationError) -> str:
        problem = error.errors(include_url=False, include_context=False)[0]
        where = clean(".".join(str(part) for part in problem["loc"]))[:100]
        if problem["type"] == "missing":
            return f"{self._called} needs the argument {where}, which is missing"
        reason = clean(problem["msg"])[:MAX_ERROR_CHARS]
        return f"{self._called} was given {_shown(problem['input'])} as {where}: {reason}"


def _shown(value: Any) -> str:
    """A value in an error: short, and never its own `repr`, which takes long for 100 MB."""
    if isinstance(value, str):
        return repr(clean(value[:80])) + ("..." if len(value) > 80 else "")
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() < 256):
        return repr(value)
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else f"a value of type {type(value).__name__}"


# Results


def as_text(result: Any, called: str, max_chars: int) -> str:
    """A result as the text of an observation: a text as it is, all else as JSON; the first `max_chars` characters."""
    if isinstance(result, str):
        return cut(result, max_chars)
    try:
        if isinstance(result, Iterator):
            raise ValueError("it yields its parts")
        text = to_json(result, inf_nan_mode="strings").decode()
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        kind = type(result).__name__
        raise ToolError(
            f"{called} gave a value of type {kind} that cannot be written as JSON ({short_error(error)})"
        ) from None
    return cut(text, max_chars)


def cut(text: str, max_chars: int) -> str:
    """At most `max_chars` characters of a text, with a notice of what is left out."""
    if len(text) <= max_chars:
        return clean(text)
    return f"{clean(text[:max_chars])}\n[cut: {len(text) - max_chars:,} of {len(text):,} characters are left out]"


def clean(text: str) -> str:
    """The text without lone surrogates, which no JSON and no file in UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def short_error(error: BaseException) -> str:
    """Somebody else's error in one short line."""
    return f"{type(error).__name__}: {first_line(error)}".removesuffix(": ")


def first_line(error: BaseException) -> str:
    try:
        text = without_secrets(str(error))
    except Exception:  # an exception whose own __str__ fails is reported without words
        return ""
    return clean(text[: 2 * MAX_ERROR_CHARS].strip().partition("\n")[0])[:MAX_ERROR_CHARS]


# Time


async def in_time(work: Awaitable[T], timeout_s: float) -> T:
    """The result of `work`. Raises TimeoutError.

    Work that takes no notice of being cancelled is left behind.
    """

    async def awaited() -> T:
        return await work

    task = asyncio.ensure_future(awaited())
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        if not task.done():
            # Without a callback that looks at the exception, asyncio would log the exception.
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE_S)


async def in_thread(function: Callable[[], T]) -> T:
    """Call a blocking function in a daemon thread of its own.

    Not `asyncio.to_thread`: the event loop, and then the interpreter, wait at their end for the threads of its pool. A
    thread that hangs would keep both from ending.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: T | None, error: BaseException | None) -> None:
        if answer.done():
            return  # nobody waits any more
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(value)  # type: ignore[arg-type]

    def work() -> None:
        value: T | None = None
        failure: BaseException | None = None
        try:
            value = context.run(function)
        except StopIteration:
            failure = RuntimeError("the function raised StopIteration")  # a future takes no StopIteration
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the event loop may have ended before this thread
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=work, name="stillhouse-tool", daemon=True).start()
    return await answer

# What a type checker sees: at run time `flow` is a module that can be called, which no checker knows.
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, overload

import stillhouse.flow as _flow
from stillhouse.api import advise as advise
from stillhouse.api import compare as compare
from stillhouse.api import distill as distill
from stillhouse.api import evaluate as evaluate
from stillhouse.api import export as export
from stillhouse.api import generate as generate
from stillhouse.api import label as label
from stillhouse.api import serve as serve
from stillhouse.flow.engine import Flow
from stillhouse.flow.engine import step as step
from stillhouse.flow.models import ModelName
from stillhouse.session import Session as Session

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")

__version__: str

class _FlowModule:
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> Flow[P, T]: ...
    @overload
    def __call__(
        self, *, name: str | None = None, model: ModelName | None = None
    ) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Flow[P, T]]: ...
    Agent = _flow.Agent
    AgentError = _flow.AgentError
    Cancelled = _flow.Cancelled
    Choice = _flow.Choice
    Flow = _flow.Flow
    LimitExceeded = _flow.LimitExceeded
    Parked = _flow.Parked
    Run = _flow.Run
    RunReport = _flow.RunReport
    StepError = _flow.StepError
    Talk = _flow.Talk
    Tool = _flow.Tool
    ToolError = _flow.ToolError
    agent = staticmethod(_flow.agent)
    answer = staticmethod(_flow.answer)
    ask_human = staticmethod(_flow.ask_human)
    cancel = staticmethod(_flow.cancel)
    decide = staticmethod(_flow.decide)
    idempotency_key = staticmethod(_flow.idempotency_key)
    limits = _flow.limits
    listen = staticmethod(_flow.listen)
    # `staticmethod` keeps the first way only in which a function may be called, so these are written out.
    @overload
    async def map(
        self,
        function: Callable[[T], Awaitable[U]],
        items: Iterable[T],
        *,
        at_once: int = 32,
        return_exceptions: Literal[False] = False,
        cluster: Literal["ray"] | None = None,
        store: Path | str | None = None,
        run_id: str | None = None,
        models: Mapping[str, ModelName] | None = None,
    ) -> list[U]: ...
    @overload
    async def map(
        self,
        function: Callable[[T], Awaitable[U]],
        items: Iterable[T],
        *,
        at_once: int = 32,
        return_exceptions: Literal[True],
    ) -> list[U | Exception]: ...
    now = staticmethod(_flow.now)
    prune = staticmethod(_flow.prune)
    random = staticmethod(_flow.random)
    resume = staticmethod(_flow.resume)
    runs = staticmethod(_flow.runs)
    sleep_until = staticmethod(_flow.sleep_until)
    @overload
    def step(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def step(
        self,
        *,
        name: str | None = None,
        model: ModelName | None = None,
        retries: int = 0,
        timeout_s: float | None = None,
        backoff_s: float = 0.1,
        max_tokens: int = 1024,
        temperature: float = 0.0,
        pure: bool = False,
    ) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]: ...
    @overload
    def tool(
        self, function: Callable[..., Any], *, name: str | None = None, timeout_s: float = 60, max_chars: int = 20_000
    ) -> _flow.Tool: ...
    @overload
    def tool(
        self, function: None = None, *, name: str | None = None, timeout_s: float = 60, max_chars: int = 20_000
    ) -> Callable[[Callable[..., Any]], _flow.Tool]: ...
    until = staticmethod(_flow.until)
    uuid = staticmethod(_flow.uuid)
    version = staticmethod(_flow.version)

flow: _FlowModule

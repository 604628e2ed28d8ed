# What a type checker sees of `from stillhouse import flow, step`.
# At run time `flow` is a module that can be called, which no checker knows of.
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import datetime
from typing import Any, ParamSpec, TypeVar, overload

from stillhouse.flow.agent import agent as _agent
from stillhouse.flow.decide import decide as _decide
from stillhouse.flow.decide import until as _until
from stillhouse.flow.engine import Flow
from stillhouse.flow.engine import step as step
from stillhouse.flow.human import ask_human as _ask_human
from stillhouse.flow.limits import Limits
from stillhouse.flow.listening import listen as _listen
from stillhouse.flow.models import ModelName

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
    async def map(self, function: Callable[[T], Awaitable[U]], items: Iterable[T], *, at_once: int = 32) -> list[U]: ...
    def now(self, label: str = "") -> datetime: ...
    def random(self, label: str = "") -> float: ...
    def uuid(self, label: str = "") -> str: ...
    agent = staticmethod(_agent)
    ask_human = staticmethod(_ask_human)
    decide = staticmethod(_decide)
    limits = Limits
    listen = staticmethod(_listen)
    until = staticmethod(_until)

flow: _FlowModule

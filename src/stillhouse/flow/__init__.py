"""Flows: plain Python control flow over steps that are journaled, so that a killed run goes on where it was.

    from stillhouse import flow, step

`flow` is both this module and the decorator: `@flow` on an async function; `flow.map`, `flow.decide`, `flow.until`,
`flow.agent`, `flow.ask_human`, `flow.limits`, `flow.listen`, `flow.now`, `flow.random`, `flow.uuid`, `flow.version`.
"""

import sys
from types import ModuleType
from typing import Any

from stillhouse.flow.agent import Agent, AgentError, agent
from stillhouse.flow.call import Parked, StepError, idempotency_key
from stillhouse.flow.change_guard import version
from stillhouse.flow.decide import Choice, decide, until
from stillhouse.flow.engine import Flow, step
from stillhouse.flow.engine import bounded_map as map
from stillhouse.flow.engine import flow as _decorate
from stillhouse.flow.human import ask_human
from stillhouse.flow.limits import LimitExceeded, limits
from stillhouse.flow.listening import listen
from stillhouse.flow.resume import RunReport
from stillhouse.flow.tools.tool import Tool, ToolError, tool
from stillhouse.flow.values import now, random, uuid

__all__ = [
    "Agent",
    "AgentError",
    "Choice",
    "Flow",
    "LimitExceeded",
    "Parked",
    "RunReport",
    "StepError",
    "Tool",
    "ToolError",
    "agent",
    "ask_human",
    "decide",
    "idempotency_key",
    "limits",
    "listen",
    "map",
    "now",
    "random",
    "step",
    "tool",
    "until",
    "uuid",
    "version",
]


class _Callable(ModuleType):
    """`@flow` and `flow.map` are one name: a module that can be called."""

    def __call__(self, function: Any = None, **options: Any) -> Any:
        return _decorate(function, **options)


sys.modules[__name__].__class__ = _Callable

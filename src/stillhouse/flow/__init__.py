"""Flows: plain Python control flow over steps that are journaled, so that a killed run goes on where it was.

    from stillhouse import flow, step

`flow` is both this module and the decorator: `@flow` on an async function; `flow.map`, `flow.decide`, `flow.until`,
`flow.agent`, `flow.ask_human`, `flow.limits`, `flow.listen`, `flow.now`, `flow.random`, `flow.uuid`, `flow.version`,
`flow.sleep_until`; and for runs from outside `flow.runs`, `flow.answer`, `flow.resume`, `flow.cancel`, `flow.prune`.
"""

import sys
from types import ModuleType
from typing import Any

from stillhouse.flow.agent import Agent, AgentError, Talk, agent
from stillhouse.flow.call import StepError, idempotency_key
from stillhouse.flow.change_guard import version
from stillhouse.flow.decide import Choice, decide, until
from stillhouse.flow.engine import Flow, step
from stillhouse.flow.engine import bounded_map as map
from stillhouse.flow.engine import flow as _decorate
from stillhouse.flow.human import ask_human
from stillhouse.flow.limits import LimitExceeded, limits
from stillhouse.flow.listening import listen
from stillhouse.flow.parking import Cancelled, Parked
from stillhouse.flow.resume import RunReport
from stillhouse.flow.sleeping import sleep_until
from stillhouse.flow.steering import Run, answer, cancel, prune, resume, runs
from stillhouse.flow.tools.tool import Tool, ToolError, tool
from stillhouse.flow.values import now, random, uuid

__all__ = [
    "Agent",
    "AgentError",
    "Cancelled",
    "Choice",
    "Flow",
    "LimitExceeded",
    "Parked",
    "Run",
    "RunReport",
    "StepError",
    "Talk",
    "Tool",
    "ToolError",
    "agent",
    "answer",
    "ask_human",
    "cancel",
    "decide",
    "idempotency_key",
    "limits",
    "listen",
    "map",
    "now",
    "prune",
    "random",
    "resume",
    "runs",
    "sleep_until",
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

"""Flows: plain Python control flow over steps that are journaled, so that a killed run goes on where it was.

    from stillhouse import flow, step

`flow` is both this module and the decorator: `@flow` on an async function, `flow.map(...)`, `flow.now()`, `flow.random()`, `flow.uuid()`.
"""

import sys
from types import ModuleType
from typing import Any

from stillhouse.flow.call import RunReport, StepError, idempotency_key
from stillhouse.flow.engine import Flow, step
from stillhouse.flow.engine import bounded_map as map
from stillhouse.flow.engine import flow as _decorate
from stillhouse.flow.human import Parked, ask_human
from stillhouse.flow.limits import LimitExceeded, limits
from stillhouse.flow.values import now, random, uuid

__all__ = [
    "Flow",
    "LimitExceeded",
    "Parked",
    "RunReport",
    "StepError",
    "ask_human",
    "idempotency_key",
    "limits",
    "map",
    "now",
    "random",
    "step",
    "uuid",
]


class _Callable(ModuleType):
    """`@flow` and `flow.map` are one name: a module that can be called."""

    def __call__(self, function: Any = None, **options: Any) -> Any:
        return _decorate(function, **options)


sys.modules[__name__].__class__ = _Callable

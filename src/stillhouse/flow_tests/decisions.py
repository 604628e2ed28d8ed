"""Which model the code names for a decision: `decide(..., model=)`, read from the app's source.

A decision is no object of the app, as a step is, so a test of its cases looks for the calls that make it.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from stillhouse.errors import UserError
from stillhouse.flow.decide import decide, until
from stillhouse.flow.engine import Flow
from stillhouse.flow.models import ModelName, name_of


def model_of_decision(module: ModuleType, name: str) -> ModelName | None:
    """The model that the app's code names for decisions of this name; None where it names none.

    Raises UserError where it names several, or one that only a run would know.
    """
    models: dict[str, ModelName] = {}
    for function, call in _decisions(module, name):
        written = next((word.value for word in call.keywords if word.arg == "model"), None)
        if written is None or (isinstance(written, ast.Constant) and written.value is None):
            continue
        model = _value(function, written)
        if model is None:
            raise UserError(
                f"the model of the decision {name} is {ast.unparse(written)}, which only a run knows; "
                f"name it: --model {name}=NAME"
            )
        models[name_of(model)] = model
    if len(models) > 1:
        raise UserError(
            f"decisions called {name} are asked of {len(models)} models ({', '.join(sorted(models))}); "
            f"give each a name of its own, or say which: --model {name}=NAME"
        )
    return next(iter(models.values()), None)


def _decisions(module: ModuleType, name: str) -> Iterator[tuple[Callable[..., Any], ast.Call]]:
    """The calls of `decide` and `until` of this name, each with the function that it stands in."""
    for function in _functions(module):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        except (OSError, TypeError, SyntaxError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (called := _value(function, node.func)) in (decide, until):
                given = next((word.value for word in node.keywords if word.arg == "name"), None)
                default = "decide" if called is decide else "until"
                if (default if given is None else _value(function, given)) == name:
                    yield function, node


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """The functions of the app that the module has by name, out of its flows and steps."""
    for value in vars(module).values():
        function = inspect.unwrap(value.function if isinstance(value, Flow) else value) if callable(value) else None
        if isinstance(function, FunctionType) and not function.__module__.startswith("stillhouse."):
            yield function


def _value(function: Callable[..., Any], node: ast.expr) -> Any:
    """What an expression stands for where it is known without a run; None where it is not."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return inspect.getclosurevars(function).nonlocals.get(name, function.__globals__.get(name))
        case ast.Attribute(value=value, attr=attr):
            owner = _value(function, value)
            return getattr(owner, attr, None) if isinstance(owner, ModuleType | type) else None
    return None

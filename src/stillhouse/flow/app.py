"""The flow that a user names as `APP:FLOW`, APP a Python file or module of their own."""

from typing import Any

from stillhouse.errors import UserError
from stillhouse.flow.engine import Flow
from stillhouse.user_code import load_app


def load_flow(target: str) -> Flow[Any, Any]:
    """The flow that `APP:FLOW` names. The app is the user's own code and is imported as Python would."""
    app, colon, name = target.rpartition(":")
    if not colon or not app or not name:
        raise UserError(f"{target!r} names no flow; write FILE.py:FLOW or MODULE:FLOW")
    module = load_app(app)
    found = getattr(module, name, None)
    if not isinstance(found, Flow):
        flows = ", ".join(sorted(key for key, value in vars(module).items() if isinstance(value, Flow))) or "none"
        raise UserError(f"{app} has no flow {name!r}; its flows: {flows}")
    twins = [
        key
        for key, value in vars(module).items()
        if isinstance(value, Flow) and value is not found and value.name == found.name
    ]
    if twins:
        raise UserError(
            f"{app} has two flows called {found.name} ({name} and {', '.join(twins)}); give one of them another: @flow(name=...)"
        )
    return found

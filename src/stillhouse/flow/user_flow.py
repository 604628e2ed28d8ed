"""The flow that a user names as `APP:FLOW`, where APP is a Python file or module of their own."""

from typing import Any

from stillhouse.errors import UserError
from stillhouse.flow.engine import Flow
from stillhouse.user_code import load_app


def load_flow(target: str) -> Flow[Any, Any]:
    """The flow that `APP:FLOW` names. The app is the user's own code and is imported as Python would."""
    app, colon, name = target.rpartition(":")
    if not colon or not app or not name:
        raise UserError(f"{target!r} names no flow; write FILE.py:FLOW or MODULE:FLOW")
    flows = {key: value for key, value in vars(load_app(app)).items() if isinstance(value, Flow)}
    if name not in flows:
        raise UserError(f"{app} has no flow {name!r}; its flows: {', '.join(sorted(flows)) or 'none'}")
    flow = flows[name]
    twins = [key for key, other in flows.items() if other is not flow and other.name == flow.name]
    if twins:
        raise UserError(
            f"{app} has two flows called {flow.name} ({name} and {', '.join(twins)}); "
            "give one of them another: @flow(name=...)"
        )
    return flow

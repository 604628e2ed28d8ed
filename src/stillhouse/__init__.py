"""Stillhouse: keep the prompt, add examples, finetune, or distil? Measured on your own data.

What pays is proven, served, and put into your app. `flow` and `step` are for an app's control flow; the verbs (`label`,
`advise`, ...) do what the commands of the same name do.
"""

from typing import Any

from stillhouse.openers import OPENERS

__version__ = "0.1.0"

VERBS = ("label", "generate", "advise", "distill", "evaluate", "compare", "serve", "export")


def __getattr__(name: str) -> Any:
    """What `from stillhouse import ...` names, loaded when asked for: the package itself stays light."""
    if name == "flow":
        import stillhouse.flow

        return stillhouse.flow
    if name == "step":
        from stillhouse.flow.engine import step

        return step
    if name in VERBS:
        import stillhouse.api

        return getattr(stillhouse.api, name)
    if name == "Session":
        from stillhouse.session import Session

        return Session
    raise AttributeError(f"module 'stillhouse' has no attribute {name!r}")


def _open_served(name: str, **options: Any) -> Any:
    """Open the student or cascade that a flow's step names; `serving` is loaded with the first of them."""
    from stillhouse.serving.predictors import open_predictor

    return open_predictor(name, **options)


OPENERS["student"] = OPENERS["cascade"] = _open_served

"""Stillhouse: keep the prompt, add examples, finetune, or distil? Measured on your own data, proven, served, and put into your app."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`from stillhouse import flow, step`, loaded when asked for: the package itself stays light."""
    if name == "flow":
        import stillhouse.flow

        return stillhouse.flow
    if name == "step":
        from stillhouse.flow.engine import step

        return step
    raise AttributeError(f"module 'stillhouse' has no attribute {name!r}")

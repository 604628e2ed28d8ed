"""Tools that agents and flows call: typed functions, and the shipped ones, each loaded when it is asked for."""

from typing import TYPE_CHECKING, Any

from stillhouse.flow.tools.tool import Tool, ToolError, tool

if TYPE_CHECKING:
    from stillhouse.flow.tools.calculator import calculator
    from stillhouse.flow.tools.search import search
    from stillhouse.flow.tools.sql import sql
    from stillhouse.flow.tools.web import web

__all__ = ["Tool", "ToolError", "calculator", "search", "sql", "tool", "web"]


def __getattr__(name: str) -> Any:
    if name in ("calculator", "search", "sql", "web"):
        import importlib

        found = getattr(importlib.import_module(f"stillhouse.flow.tools.{name}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'stillhouse.flow.tools' has no attribute {name!r}")

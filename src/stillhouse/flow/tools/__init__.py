"""Tools: typed functions that agents call."""

from stillhouse.flow.tools.tool import Tool, ToolError, tool

__all__ = ["Tool", "ToolError", "tool"]

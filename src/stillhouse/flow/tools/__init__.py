"""Tools: typed functions that agents and flows call, and the ones that come with Stillhouse.

What is heavy in them is loaded when a tool is made.
"""

from stillhouse.flow.tools.calculator import calculator
from stillhouse.flow.tools.mcp import mcp_tools
from stillhouse.flow.tools.search import search
from stillhouse.flow.tools.shell import shell
from stillhouse.flow.tools.sql import sql
from stillhouse.flow.tools.tool import Tool, ToolError, tool
from stillhouse.flow.tools.web import web

__all__ = ["Tool", "ToolError", "calculator", "mcp_tools", "search", "shell", "sql", "tool", "web"]

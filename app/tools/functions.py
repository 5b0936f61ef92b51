"""A tool's function as autogen-agentchat wants it; the other generations take the functions themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from autogen_core.tools import FunctionTool


def as_tool(function: Callable[..., Any]) -> FunctionTool:
    """The function with its docstring as description."""
    return FunctionTool(function, description=inspect.getdoc(function) or "")

"""A tool's function as autogen-agentchat wants it; the other generations take the functions themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from autogen_core.tools import FunctionTool


def as_tool(function: Callable[..., Any]) -> FunctionTool:
    """The function with its docstring as description."""
    _put_descriptions_back(function)
    return FunctionTool(function, description=inspect.getdoc(function) or "")


def _put_descriptions_back(function: Callable[..., Any]) -> None:
    """Classic AG2 puts objects of its own in the place of parameters' descriptions, for all functions that share them;
    autogen-agentchat takes sentences only.
    """
    for parameter in inspect.signature(function).parameters.values():
        metadata = getattr(parameter.annotation, "__metadata__", ())
        sentence = getattr(metadata[0], "description", None) if metadata else None
        if isinstance(sentence, str):
            parameter.annotation.__metadata__ = (sentence, *metadata[1:])

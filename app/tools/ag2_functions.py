"""A tool's function as ag2 1.x wants it: that takes the sentence of an ``Annotated`` parameter for a type."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, get_args, get_origin

from pydantic import Field


def for_ag2(tool: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A guarded tool (:func:`app.tools.guard.guarded`) with its parameters' sentences where pydantic has them."""

    @functools.wraps(tool)
    async def call(*args: Any, **kwargs: Any) -> Any:
        return await tool(*args, **kwargs)

    signature = inspect.signature(tool, eval_str=True)
    parameters = [each.replace(annotation=_described(each.annotation)) for each in signature.parameters.values()]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # inspect reads it
    call.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": signature.return_annotation}
    return call


def _described(annotation: Any) -> Any:
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, said, *_ = get_args(annotation)
    sentence = said if isinstance(said, str) else getattr(said, "description", None)  # classic AG2 has been here before
    return Annotated[kind, Field(description=sentence)]

"""A tool that raises what is no ``Exception``."""

from __future__ import annotations


class Abort(BaseException):
    """As some libraries have for what nobody shall catch."""


def aborts() -> str:
    """It breaks off."""
    raise Abort

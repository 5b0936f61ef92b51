"""What a child process finds in its environment."""

from __future__ import annotations

import os

_OWN = frozenset({"SECRET_KEY", "JWT_SECRET", "DATABASE_URL"})


def child_environment(**more: str) -> dict[str, str]:
    """This process's environment without what is the server's alone: an agent with a shell may show its own.

    :param more: what is set beside it.
    """
    return {name: value for name, value in os.environ.items() if name.upper() not in _OWN} | more

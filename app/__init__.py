"""Colloquy: AutoGen conversations, live in Socket.IO rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.settings import Settings

__version__ = "0.1.0"


def create_app(settings: Settings | None = None) -> Flask:
    """Make the application: the only place that wires.

    Call ``app.extensions["colloquy"].start()`` to start what works in the background. Imports are inside, because the
    runner processes import this package, too, and want nothing of the web.

    :param settings: read from the environment and ``.env`` where not given.
    :raises SettingsError: when a setting is wrong.
    """
    from app.wiring import wire

    return wire(settings, __version__)

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
    from app.cli import colloquy, command_line_app

    if settings is None and (light := command_line_app()) is not None:
        return light
    from app.wiring import wire

    app = wire(settings, __version__)
    app.cli.add_command(colloquy)
    return app

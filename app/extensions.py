"""Unbound extensions, bound to the application by ``create_app``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask_socketio
import socketio
from flask import Flask

from app.namespaces.server import CommandServer


class SocketIO(flask_socketio.SocketIO):  # type: ignore[misc]  # Flask-SocketIO has no types
    """Flask-SocketIO on a server that keeps each client's commands in order."""

    def init_app(self, app: Flask, *, max_queued_commands: int, greet: Callable[[str], None], **options: Any) -> None:
        """Bind to an application; ``options`` go to python-socketio and Engine.IO."""
        super().init_app(app, **options)
        server: socketio.Server = self.server
        server.__class__ = CommandServer  # init_app always constructs the library's class, and has no hook for another
        server.prepare(max_queued_commands, greet)

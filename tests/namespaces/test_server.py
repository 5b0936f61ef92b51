"""The command server: connections that come and go at the same moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.auth.identity import Principal
from app.namespaces.connection import Connection
from app.namespaces.server import CommandServer
from app.protocol import NAMESPACE
from app.services import Services
from app.settings import load_settings

ADA = Principal("ada", "jwt")


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    settings = load_settings(
        None, async_mode="threading", local_model=False, data_dir=tmp_path, max_connections_per_user=2
    )
    return create_app(settings)


def test_one_that_ends_while_it_is_let_in_leaves_nothing(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is recognised may have waited for the database: the library takes no notice of an end meanwhile, and kept
    such connections for ever. With a limit of them, their person could come back no more."""
    parts: Services = app.extensions["colloquy"]
    server: CommandServer = app.extensions["socketio"].server
    server.eio.start_background_task = lambda function, *args: function(*args)
    environ: dict[str, Any] = {"REMOTE_ADDR": "127.0.0.1", "flask.app": app}

    def come() -> Connection:
        connection = Connection(server.eio, server.eio.generate_id())
        connection.connected = True
        server.eio.sockets[connection.sid] = connection
        server._handle_eio_connect(connection.sid, environ)
        server._handle_connect(connection.sid, NAMESPACE, None)
        return connection

    def ends_meanwhile(*_: Any) -> Principal:
        for connection in tuple(server.eio.sockets.values()):
            connection.close(wait=False, abort=True)
        return ADA

    monkeypatch.setattr(type(parts.gate), "identify", lambda *_: ends_meanwhile())
    for _ in range(5):
        come()
        assert (parts.seats.of(ADA), parts.sockets.connections(), len(server.eio.sockets)) == (0, 0, 0)

    monkeypatch.setattr(type(parts.gate), "identify", lambda *_: ADA)
    stays = come()
    assert (parts.seats.of(ADA), parts.sockets.connections()) == (1, 1)
    stays.close(wait=False, abort=True)
    assert (parts.seats.of(ADA), parts.sockets.connections()) == (0, 0)

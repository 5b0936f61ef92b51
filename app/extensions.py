"""Unbound extensions, bound to the application by ``create_app``."""

from __future__ import annotations

import logging

import flask_socketio
import socketio
from flask import Flask

from app.auth.origins import Origins
from app.auth.seats import Seats
from app.concurrency import AsyncMode
from app.namespaces.conversations import ConversationsNamespace
from app.namespaces.delivery import Delivery
from app.namespaces.engine import EngineServer
from app.namespaces.frames import Json
from app.namespaces.rooms import RoomManager
from app.namespaces.server import CommandServer
from app.protocol import NAMESPACE
from app.settings import Settings


class SocketIO(flask_socketio.SocketIO):  # type: ignore[misc]  # Flask-SocketIO has no types
    """Flask-SocketIO on a server that keeps each client's commands in order, and on connections that are bounded.

    :ivar rooms: the client manager, once it is bound.
    """

    rooms: RoomManager

    def init_app(
        self, app: Flask, *, settings: Settings, mode: AsyncMode, namespace: ConversationsNamespace, seats: Seats
    ) -> None:
        """Bind to an application."""
        delivery = Delivery()
        self.rooms = RoomManager()
        super().init_app(
            app,
            client_manager=self.rooms,
            async_mode=settings.async_mode,
            cors_allowed_origins=Origins(settings.cors_allowed_origins).allowed,
            max_http_buffer_size=settings.max_frame_bytes,
            ping_interval=settings.ping_interval_s,
            ping_timeout=settings.ping_timeout_s,
            monitor_clients=False,  # our own watch does
            json=Json,
            manage_session=False,
            logger=logging.getLogger("socketio"),  # True or False would add a handler of the library's own
            engineio_logger=logging.getLogger("engineio"),
        )
        server: socketio.Server = self.server
        server.__class__ = CommandServer  # init_app always constructs the library's classes, and has no hook for others
        server.eio.__class__ = EngineServer
        server.eio.prepare(
            mode,
            delivery,
            seats,
            max_connections=settings.max_connections,
            queue_bytes=settings.client_queue_bytes,
            send_buffer_bytes=settings.socket_send_buffer_bytes,
            slow_timeout_s=settings.slow_client_timeout_s,
            compression=settings.websocket_compression,
            on_drained=self.rooms.notify_drained(NAMESPACE, namespace.drained),
        )
        server.prepare(
            delivery,
            max_queued_commands=settings.max_queued_commands,
            max_commands_per_s=settings.max_commands_per_s,
            greet=namespace.greet,
        )
        self.on_namespace(namespace)

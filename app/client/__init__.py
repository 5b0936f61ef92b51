"""Colloquy's Python client: one connection (:class:`Client`), any number of conversations on it.

Thread based; needs nothing of the server but the protocol. Guide: docs/clients/python.md.
"""

from app.client.client import DEFAULT_URL, Client
from app.client.errors import ClientError
from app.client.happenings import ClientEvent, Happening, Replaced
from app.client.link import Connection
from app.client.meter import Metrics
from app.client.outbox import Queued
from app.client.stream import ConversationStream
from app.protocol.common import ContentType, Filter, Position, Status

__all__ = [
    "DEFAULT_URL",
    "Client",
    "ClientError",
    "ClientEvent",
    "Connection",
    "ContentType",
    "ConversationStream",
    "Filter",
    "Happening",
    "Metrics",
    "Position",
    "Queued",
    "Replaced",
    "Status",
]

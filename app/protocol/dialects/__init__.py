"""The dialects of the doors beside Socket.IO: names and shapes of their messages.

``bridge`` is that of ``/api/conversations/<id>/stream`` (SSE and WebSocket), ``tasks`` that of ``/ws/stream``,
``messages`` that of ``/v1/conversation/<id>/stream``, ``ag2`` that of ``/ag2/<team>``. Each is a translation of log
entries and has no logic of its own.
"""

from __future__ import annotations

SNAPSHOT = "snapshot"
"""The first message where a conversation is joined without a position: it as it stands; what follows is the tail."""

ACK = "ack"
"""The answer to a command: ``{ok, …}``, as on Socket.IO."""

ERROR = "error"
"""What was sent was refused, or could not be done. The connection goes on."""

"""A conversation's messages in the shape of FEATURES E3: over the message door and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from app.protocol.dialects.messages import Message

_USER = "user"


def shape(view: Mapping[str, Any]) -> Message:
    """A message of a snapshot (a ``MessageView`` as JSON)."""
    return Message(
        id=view["message_id"],
        role=role_of(view),
        message=view["content"],
        timestamp=view["timestamp"],
        updated_at=view.get("updated_at") or view["timestamp"],
        updated_by=view.get("updated_by"),
        feedback_received=view.get("feedback") is not None,
    )


def role_of(payload: Mapping[str, Any]) -> str:
    """``user``, or the agent's name."""
    return _USER if payload.get("role") == _USER else str(payload["agent"])


def stored(snapshot: Mapping[str, Any], since: datetime | None = None) -> Iterator[Mapping[str, Any]]:
    """The messages of a snapshot; those that began or changed before ``since`` are left out."""
    for view in snapshot["messages"]:
        changed = view.get("updated_at") or view["timestamp"]
        if since is None or view["state"] == "open" or datetime.fromisoformat(changed) >= since:
            yield view

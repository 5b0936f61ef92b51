"""What is too large for an event: charts, and the whole answers of tools."""

from __future__ import annotations

from flask import Blueprint, Response

from app.auth.permissions import Action
from app.errors import ConversationUnknown, NotFound, StoreUnavailable
from app.http.caller import permitted
from app.http.contract import contract
from app.services import services

artifacts = Blueprint("artifacts", __name__)

PICTURES = frozenset({"image/svg+xml", "image/png", "image/jpeg", "image/webp"})
_TEXT = "text/plain; charset=utf-8"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"


@artifacts.get("/api/conversations/<conversation_id>/artifacts/<artifact_id>")
@contract(
    media="application/octet-stream",
    also_media={**dict.fromkeys(sorted(PICTURES)), "text/plain": None},
    errors=(ConversationUnknown, NotFound, StoreUnavailable),
)
def show_artifact(conversation_id: str, artifact_id: str) -> Response:
    """A chart's picture, or a tool's whole answer, as events and snapshots name them. It never changes.

    Nothing in it runs, wherever it is opened: a picture may come from a tool, and a tool may be fooled.
    """
    _, conversation = permitted(Action.WATCH, conversation_id)
    parts = services()
    found = parts.store.artifact(conversation.id, artifact_id)
    if found is None:  # it may wait to be written
        parts.archive.write(conversation.id)
        found = parts.store.artifact(conversation.id, artifact_id)
    if found is None:
        raise NotFound("there is no such artifact")
    media_type, data = found
    shown = media_type in PICTURES
    response = Response(data, content_type=media_type if shown or media_type == _TEXT else "application/octet-stream")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Content-Disposition"] = "inline" if shown or media_type == _TEXT else "attachment"
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response

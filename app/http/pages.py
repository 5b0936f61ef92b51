"""The pages: conversations, settings, and the one for debugging."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, request, url_for

from app.auth.permissions import Action
from app.errors import NotPermitted
from app.http.caller import permit
from app.http.contract import HTML, contract
from app.services import services

pages = Blueprint("pages", __name__)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src {connect}; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify"  # a string becomes HTML only through DOMPurify
)
_PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


@pages.get("/")
@contract(media=HTML)
def home() -> str:
    """Start a conversation, or choose one."""
    return _page("conversation.html", page="conversation", conversation_id=None)


@pages.get("/c/<conversation_id>")
@contract(media=HTML)
def conversation(conversation_id: str) -> str:
    """Watch one conversation. The page asks for it over its socket: an unknown id is told there."""
    return _page("conversation.html", page="conversation", conversation_id=conversation_id)


@pages.get("/settings")
@contract(media=HTML)
def settings() -> str | tuple[str, int]:
    """Models, limits and the audit log, for administrators."""
    try:
        permit(Action.OPERATE)
    except NotPermitted as error:
        return _for_administrators(error)
    return _page("settings.html", page="settings")


@pages.get("/websocket-test")
@contract(media=HTML)
def websocket_test() -> str:
    """Debug by hand: every command, every event, live figures."""
    return _page("websocket_test.html", page="websocket-test", conversation_id=None)


@pages.get("/favicon.ico")
@contract(media=HTML, status=302)
def favicon() -> Response:
    """Browsers ask for this one whatever the page says."""
    return redirect(url_for("static", filename="favicon.svg"))  # type: ignore[return-value]


def _for_administrators(error: NotPermitted) -> tuple[str, int]:
    title, message = "For administrators", "Settings are for administrators of this server. Ask one of them."
    page = render_template(
        "error.html", page="error", title=title, message=message, code=error.error_code, status=error.http_status
    )
    return page, error.http_status


def _page(template: str, **variables: object) -> str:
    parts = services()
    permit(Action.CONNECT)
    return render_template(
        template,
        version=parts.version,
        socket_available=parts.sockets.error is None,
        socket_error=parts.sockets.error,
        max_content_bytes=parts.settings.max_content_bytes,
        **variables,
    )


def add_security_headers(response: Response) -> Response:
    """A strict policy for everything this server sends: no inline script, nothing from elsewhere."""
    anywhere = request.endpoint == "pages.websocket_test"  # which may be pointed at another server
    connect = "'self' http: https: ws: wss:" if anywhere else "'self'"
    response.headers.setdefault("Content-Security-Policy", _POLICY.format(connect=connect))
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    response.headers.setdefault("Permissions-Policy", _PERMISSIONS)
    if request.endpoint != "static" or response.status_code >= 400:  # what else is sent may be for one person's eyes
        response.headers.setdefault("Cache-Control", "no-store")
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response

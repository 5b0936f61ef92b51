"""The session cookie: signed, for this site alone, over TLS alone where there is any."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Flask, has_request_context, request
from flask.sessions import SecureCookieSessionInterface
from werkzeug.wrappers import Request

from app.auth.secret import signing_key
from app.settings import Settings


class SessionCookies(SecureCookieSessionInterface):
    """Flask's signed cookie, marked `Secure` where the request came by https, and always in production."""

    def __init__(self, settings: Settings) -> None:
        self._production = settings.colloquy_env == "production"

    def get_cookie_secure(self, app: Flask) -> bool:
        return self._production or (has_request_context() and request.is_secure)


def prepare_sessions(app: Flask, settings: Settings) -> None:
    """Configure an application's sessions."""
    app.session_interface = SessionCookies(settings)
    app.config.update(
        SECRET_KEY=signing_key(settings),
        SESSION_COOKIE_NAME="colloquy_session",
        SESSION_COOKIE_SAMESITE="Lax",  # Strict would sign people out who follow a link to a conversation
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=settings.sign_in_hours),
    )


def session_in(app: Flask, environ: Mapping[str, Any]) -> Mapping[str, Any]:
    """The session that a request's cookie carries, at doors that Flask does not see."""
    if "HTTP_COOKIE" not in environ:
        return {}
    found = app.session_interface.open_session(app, Request(dict(environ)))  # type: ignore[arg-type]  # its cookies do
    return found or {}

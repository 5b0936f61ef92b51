"""A change that comes with a sign-in's cookie has to prove that a page of ours asked for it."""

from __future__ import annotations

from flask import Flask, request, session
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf

from app.auth.gatekeeper import LINKS, SIGN_IN
from app.auth.identity import Principal, bearer_token
from app.errors import CsrfFailed

_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
_OPEN = frozenset(
    {"accounts.log_in", "accounts.register", "account_pages.submit_log_in", "account_pages.submit_registration"}
)
"""They change nothing by a cookie that is there. The forms have a proof of their own; the others take only JSON, which
no foreign form can send, and every request's Origin is checked."""


def prepare_csrf(app: Flask) -> None:
    """Check each changing request that is recognised by a cookie: by the field of a form, or the header X-CSRFToken."""
    app.config.update(WTF_CSRF_CHECK_DEFAULT=False, WTF_CSRF_TIME_LIMIT=None, WTF_CSRF_SSL_STRICT=False)
    csrf = CSRFProtect(app)

    @app.before_request
    def check() -> None:
        if request.method in _SAFE or request.endpoint in _OPEN or bearer_token(request.environ) is not None:
            return
        if not session.get(SIGN_IN) and not session.get(LINKS):
            return
        try:
            csrf.protect()
        except CSRFError:
            raise CsrfFailed(
                "this request did not come from a page of this server, or the page is too old: load it again"
            ) from None


def csrf_token_for(principal: Principal) -> str | None:
    """What a page of this person has to send along; None where nothing is needed."""
    if principal.kind == "user" or principal.links:
        return str(generate_csrf())
    return None

"""The one JSON error shape, ``{"error": {"code", "message", "retryable"}}``, and its page for people."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus

from flask import Flask, jsonify, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, NotFound

from app.errors import ColloquyError, Unauthenticated
from app.http.front import told_path

logger = logging.getLogger(__name__)


def register_errors(app: Flask) -> None:
    """Answer every error in one shape: JSON under ``/api`` and ``/ws``, a page elsewhere."""

    @app.before_request
    def whole() -> None:
        if "\0" in request.path:  # PostgreSQL takes none, and no id of ours has one
            raise NotFound

    @app.errorhandler(ColloquyError)
    def refused(error: ColloquyError) -> ResponseReturnValue:
        if isinstance(error, Unauthenticated) and request.method in ("GET", "HEAD") and not _for_programs():
            return _to_log_in()
        return _answer(error.error_code, error.message, error.retryable, error.http_status, error.retry_after_s)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> ResponseReturnValue:
        status = error.code or 500
        code = HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")
        found = _answer(code, error.description or HTTPStatus(status).phrase, status in (429, 503), status)
        answer = make_response(found)
        for name, value in error.get_headers():  # which methods are allowed, when to come back
            if name != "Content-Type":
                answer.headers.setdefault(name, value)
        return answer

    @app.errorhandler(Exception)
    def broken(error: Exception) -> ResponseReturnValue:
        logger.exception("%s %s failed", request.method, told_path(request.path))
        return _answer("internal", "the request failed; the server's log says why", False, 500)


def _answer(
    code: str, message: str, retryable: bool, status: int, retry_after_s: float | None = None
) -> ResponseReturnValue:
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    later: dict[str, float] = {}
    if retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(retry_after_s))
        later["retry_after_s"] = round(retry_after_s, 3)
    if _for_programs():
        return jsonify(error={"code": code, "message": message, "retryable": retryable, **later}), status, headers
    page = render_template("error.html", page="error", code=code, message=message, status=status)
    return page, status, headers


def _for_programs() -> bool:
    return request.path.startswith(("/api/", "/ws/"))


def _to_log_in() -> ResponseReturnValue:
    path = request.full_path.removesuffix("?")
    return redirect(url_for("account_pages.show_log_in", next=None if path == "/" else path))

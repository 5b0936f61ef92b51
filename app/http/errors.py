"""The one JSON error shape, ``{"error": {"code", "message", "retryable"}}``, and its page for people."""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import Flask, Response, jsonify, render_template, request
from werkzeug.exceptions import HTTPException

from app.errors import ColloquyError

logger = logging.getLogger(__name__)


def register_errors(app: Flask) -> None:
    """Answer every error in one shape: JSON under ``/api`` and ``/ws``, a page elsewhere."""

    @app.errorhandler(ColloquyError)
    def refused(error: ColloquyError) -> tuple[Response | str, int]:
        return _answer(error.error_code, error.message, error.retryable, error.http_status)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> tuple[Response | str, int]:
        status = error.code or 500
        code = HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")
        return _answer(code, error.description or HTTPStatus(status).phrase, status in (429, 503), status)

    @app.errorhandler(Exception)
    def broken(error: Exception) -> tuple[Response | str, int]:
        logger.exception("%s %s failed", request.method, request.path)
        return _answer("internal", "the request failed; the server's log says why", False, 500)


def _answer(code: str, message: str, retryable: bool, status: int) -> tuple[Response | str, int]:
    if request.path.startswith(("/api/", "/ws/")):
        return jsonify(error={"code": code, "message": message, "retryable": retryable}), status
    return render_template("error.html", page="error", code=code, message=message, status=status), status

"""A few lines of blocking HTTP for tests and benchmarks, on the standard library alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any


class HttpError(Exception):
    """The server answered with an error status. ``status`` and the parsed ``body`` say which."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"HTTP {status}: {body}")
        self.status = status
        self.body = body


def http_json(
    method: str, url: str, body: Any = None, *, timeout_s: float = 10.0, headers: dict[str, str] | None = None
) -> Any:
    """Ask and parse the JSON answer. No proxy is used.

    :raises HttpError: for a status of 400 or more.
    :raises OSError: where there is no connection, or no answer within ``timeout_s``.
    """
    content = None if body is None else json.dumps(body).encode()
    all_headers = {"Content-Type": "application/json"} | (headers or {})
    request = urllib.request.Request(url, data=content, method=method, headers=all_headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            return _parsed(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            raise HttpError(error.code, _parsed(error.read())) from None


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")

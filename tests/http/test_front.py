"""What is settled before a request reaches Flask."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from app.http.front import LogFailures


def test_what_a_request_dies_of_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """And raised again: the server has to answer."""

    def broken(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise KeyError("HTTP_ORIGIN")

    with pytest.raises(KeyError):
        LogFailures(broken)({"REQUEST_METHOD": "GET", "PATH_INFO": "/socket.io/"}, None)  # type: ignore[arg-type]
    assert "GET /socket.io/" in caplog.text
    assert "HTTP_ORIGIN" in caplog.text


def test_a_client_that_is_gone_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """It is not worth a line."""

    def gone(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise ConnectionError("reset")

    with pytest.raises(ConnectionError):
        LogFailures(gone)({}, None)  # type: ignore[arg-type]
    assert caplog.text == ""

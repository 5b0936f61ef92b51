"""WSGI middleware: what is settled before a request reaches Engine.IO or Flask."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

logger = logging.getLogger(__name__)


class RefuseCompression:
    """Hides a client's offer of WebSocket compression: browsers always offer it, and eventlet would always accept.

    Compressing costs half again the CPU and 90 kB of memory per connection (setting WEBSOCKET_COMPRESSION).
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        return self._app(environ, start_response)


class LogFailures:
    """Logs what a request dies of before Flask has it: eventlet's server answers 500 and says nothing."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return self._app(environ, start_response)
        except OSError:  # the client is gone, or Werkzeug is told that nothing more comes
            raise
        except Exception:
            logger.exception("a request failed: %s %s", environ.get("REQUEST_METHOD"), environ.get("PATH_INFO"))
            raise

"""Runs the server: start-up lines, listening, signals, the end."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from app import create_app
from app.services import Services
from app.settings import Settings, SettingsError, load_settings
from app.store.database import SchemaDiffers
from app.store.reservation import Occupied
from app.wsgi import listen, serve

logger = logging.getLogger("colloquy")

_ENDING_S = 4.0  # a server that was told to end takes 3 s at most
_OTHER_FILES = 200  # runners, logs, requests, and what comes to be refused


def run(project: Path, overrides: dict[str, Any], patch_error: Exception | None = None) -> int:
    """Serve until a signal.

    :param overrides: settings from the command line.
    :param patch_error: why the async mode's library could not be used: HTTP is then served by threads, without sockets.
    :returns: the exit status: 0 after a signal, 1 for an address that cannot be had, 2 for a wrong setting, or a
        database that has to be migrated first, or that another server uses.
    """
    try:
        settings = load_settings(project / ".env", **overrides)
    except SettingsError as error:
        return _refuse(error)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for chatty in ("engineio", "socketio", "werkzeug", "markdown_it", "azure"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        print(f"colloquy: {_sentence(error, settings)}", file=sys.stderr)
        return 1
    mode: str = settings.async_mode
    if patch_error is not None:
        settings = settings.model_copy(update={"async_mode": "threading"})
        mode = "threading"
    try:
        app = create_app(settings)
        parts: Services = app.extensions["colloquy"]
        alone = _reserve(parts)
        parts.prepare_store()
    except (SettingsError, SchemaDiffers, Occupied) as error:
        return _refuse(error)
    if patch_error is not None:
        parts.sockets.failed(patch_error)
        logger.error("the socket layer could not start (%s); only HTTP is served", parts.sockets.error)
    elif parts.sockets.error is not None:
        mode = "threading" if mode == "gevent" else mode
    limit = allow_descriptors(settings.max_connections + _OTHER_FILES)
    if limit is not None:
        logger.warning(
            "the system allows %d open files, too few for MAX_CONNECTIONS=%d", limit, settings.max_connections
        )
    parts.start(recover=alone)
    _end_on_signals(parts)
    _say(parts, *listener.getsockname()[:2])
    serve(mode, listener, app, silence_s=settings.http_silence_s)
    return 0


def _reserve(parts: Services) -> bool:
    """Keep the database for this server. False: another one has it, and this is only development.

    :raises Occupied: in production.
    """
    try:
        parts.database.reserve(_ENDING_S)
    except Occupied as error:
        if parts.settings.colloquy_env == "production":
            raise
        logger.warning("%s. What runs there is left alone: open it there only", error)
        return False
    return True


def _refuse(error: Exception) -> int:
    print(f"colloquy: {str(error).replace(chr(10), chr(10) + 'colloquy: ')}", file=sys.stderr)
    return 2


def allow_descriptors(wanted: int) -> int | None:
    """Raise this process's limit of open files, each connection being one, as far as the system lets us.

    :returns: the limit, where it stays below ``wanted``; else None.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return None
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):
        most = soft
    return most if most < wanted else None


def _say(parts: Services, host: str, port: int) -> None:
    """The start-up lines. Never a key."""
    shown = f"[{host}]" if ":" in host else host
    lines = [
        f"model: {parts.models.label()}",
        f"missing: {parts.models.problem()}" if parts.models.problem() else None,
        f"data: {parts.database.place()}",
        f"sockets: unavailable, only HTTP is served: {parts.sockets.error}" if parts.sockets.error else None,
        f"storage: unavailable, and tried again: {trouble}" if (trouble := parts.recorder.state().message) else None,
        *(f"team {each.name}: {f'{each.file}: ' if each.file else ''}{each.error}" for each in parts.teams.broken()),
        f"Colloquy {parts.version} is ready at http://{shown}:{port}",
    ]
    print("\n".join(line for line in lines if line), flush=True)


def _end_on_signals(parts: Services) -> None:
    """Ctrl-C and SIGTERM end everything in order, within 3 s; a second signal at once."""
    ending = threading.Event()

    def end() -> None:
        try:
            parts.shutdown()
        except Exception:
            logger.exception("the shutdown failed")
        finally:
            logging.shutdown()
            os._exit(0)  # servers of all three modes hold on to open connections

    def on_signal(*_: Any) -> None:
        if ending.is_set():
            os._exit(1)
        ending.set()
        parts.mode.spawn(end)

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)


def _sentence(error: OSError, settings: Settings) -> str:
    where = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        hint = " (on a Mac, AirPlay Receiver uses 5000)" if settings.port == 5000 and sys.platform == "darwin" else ""
        return f"port {settings.port} is taken{hint}: choose another one with --port 5001, or PORT=5001"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{where} needs more rights: choose a port above 1023 with --port"
    return f"cannot listen on {where}: {error.strerror or error}"

"""One server for one file: a second one would run again what runs in the first, as if that had died."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from app.errors import StoreUnavailable

_LOOK_S = 0.05  # between two looks at whether the lock is free; nothing is served yet


class Occupied(StoreUnavailable):
    """Another server has the database; the message says which."""


def reserve(database: Path, patience_s: float = 0.0) -> int | None:
    """Keep a database's file for this process, until it ends, however it ends. The command line may use it beside that.

    The lock lies in a file beside it: SQLite's own locks would be lost with any other descriptor that is closed. Where
    none can be made or held, e.g. because the folder may only be read, nothing is reserved.

    :param patience_s: so long it may take its holder to end, in seconds.
    :returns: the descriptor that holds the lock; None: there is none.
    :raises Occupied: another process has it.
    """
    place = Path(f"{os.path.realpath(database)}.lock")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:
        return None
    try:
        _lock(descriptor, time.monotonic() + patience_s)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise Occupied(
            f"another server, process {holder or 'unknown'}, uses the database {database}: stop it first, or choose "
            "another place with DATA_DIR or DATABASE_URL"
        ) from None
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _lock(descriptor: int, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_LOOK_S)

"""One server for one file: a second one would run again what runs in the first, as if that had died."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from app.errors import StoreUnavailable


class Occupied(StoreUnavailable):
    """Another server has the database; the message says which."""


def reserve(database: Path) -> int | None:
    """Keep a database's file for this process, until it ends, however it ends. The command line may use it beside that.

    The lock lies in a file beside it: SQLite's own locks would be lost with any other descriptor that is closed. Where
    none can be made or held, e.g. because the folder may only be read, nothing is reserved.

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
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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

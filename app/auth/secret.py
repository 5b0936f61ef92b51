"""The key that signs session cookies."""

from __future__ import annotations

import logging
import os
import secrets

from app.settings import Settings

logger = logging.getLogger(__name__)

_FILE = "secret_key"


def signing_key(settings: Settings) -> str:
    """SECRET_KEY; in development, where there is none, one that lies in DATA_DIR, so that a restart signs nobody out.

    Readable for this user alone. Where the folder cannot be written, it lives as long as the process.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    path = settings.data_dir / _FILE
    fresh = secrets.token_urlsafe(32)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            kept = path.read_text().strip()
            if len(kept) >= len(fresh):
                return kept
            descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(fresh)
    except OSError as error:
        logger.warning("people are signed out by a restart: %s cannot be used: %s", path, error.strerror)
    return fresh

"""JWTs as an issuer makes them, for servers with this JWT_SECRET."""

from __future__ import annotations

import time
from typing import Any

import jwt

SECRET = "a secret of at least thirty-two bytes"


def token(lives_s: float = 600, who: str = "anna", **claims: Any) -> str:
    """A token that was made just now."""
    now = time.time()
    return jwt.encode({"sub": who, "iat": int(now), "exp": now + lives_s, **claims}, SECRET, "HS256")


def bearer(text: str) -> dict[str, str]:
    """The header that carries it."""
    return {"Authorization": f"Bearer {text}"}

"""Why a plain WebSocket was closed. From 4000 to 4499: come back, with your position; from 4500: do not."""

from __future__ import annotations

from enum import IntEnum

_FIRST_FINAL = 4500


class CloseCode(IntEnum):
    """Close codes of the plain WebSocket doors."""

    NORMAL = 1000
    GOING_AWAY = 1001
    """The server ends: come back."""
    UNSUPPORTED = 1003
    """A binary frame."""
    TOO_BIG = 1009
    """A frame longer than MAX_FRAME_BYTES."""
    TRY_LATER = 1013
    """A limit is reached, which the word before says: come back after its `retry_after_s`."""
    SLOW_CONSUMER = 4000
    """Nothing was taken for SLOW_CLIENT_TIMEOUT_S: come back and resume."""
    SILENT = 4001
    """A ping was not answered."""
    FLOODING = 4002
    """More commands than MAX_COMMANDS_PER_S, again and again."""
    TOKEN_EXPIRED = 4401
    """The token has run out: come back with a fresh one, and your position."""
    UNAUTHENTICATED = 4501
    """No token, or one that is no good."""
    SIGNED_OUT = 4502
    """The sign-in was ended, or the token revoked: sign in again."""
    NOT_PERMITTED = 4503
    CONVERSATION_UNKNOWN = 4504

    @property
    def come_back(self) -> bool:
        """Whether a client should connect again by itself."""
        return self in (CloseCode.GOING_AWAY, CloseCode.TRY_LATER, 1006, 1011, 1012) or 4000 <= self < _FIRST_FINAL

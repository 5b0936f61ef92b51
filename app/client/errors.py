"""What can go wrong on the client's side, as one exception with a code."""

from __future__ import annotations

from typing import Any

# Codes that the client itself gives; all others are the server's (docs/protocol.md).
TIMEOUT = "timeout"
DISCONNECTED = "disconnected"
NOT_CONNECTED = "not_connected"
NOT_JOINED = "not_joined"
UNREACHABLE = "unreachable"
AUTH_FAILED = "auth_failed"
QUEUE_FULL = "queue_full"
BAD_ACK = "bad_ack"
BAD_EVENT = "bad_event"
PROTOCOL_UNSUPPORTED = "protocol_unsupported"

_UNANSWERED = frozenset({TIMEOUT, DISCONNECTED, NOT_CONNECTED})


class ClientError(Exception):
    """A command that failed, at the server or on the way to it; or a conversation that cannot be followed.

    :param code: stable; decide by it and by ``retryable``.
    :param message: a sentence for a person.
    :param retryable: whether the same may succeed later.
    :param retry_after_s: not before so many seconds, where the server knows.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after_s = retry_after_s

    @property
    def unanswered(self) -> bool:
        """No answer has come: whether the command was carried out is not known."""
        return self.code in _UNANSWERED

    @classmethod
    def from_wire(cls, error: Any, *, code: str, message: str) -> ClientError:
        """The server's error, as an ack or a refusal carries it; ``code`` and ``message`` where it has another form."""
        if not isinstance(error, dict):
            return cls(code, message, retryable=True)
        later = error.get("retry_after_s")
        return cls(
            str(error.get("code", code)),
            str(error.get("message", message)),
            retryable=bool(error.get("retryable", False)),
            retry_after_s=float(later) if isinstance(later, int | float) and later >= 0 else None,
        )

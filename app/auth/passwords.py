"""Passwords: hashed by argon2id in native threads, so that nobody else waits for it."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.concurrency import AsyncMode
from app.errors import InvalidPayload, LimitExceeded

MIN_CHARS = 8
MAX_BYTES = 1024
_AT_ONCE = 2  # 46 MiB each
_WAITING = 32
_RETRY_S = 5.0


def check_password(password: str) -> None:
    """:raises InvalidPayload: when a new password is too short or too long."""
    if len(password) < MIN_CHARS:
        raise InvalidPayload(f"a password needs at least {MIN_CHARS} characters")
    if len(_bytes(password)) > MAX_BYTES:
        raise InvalidPayload(f"a password has at most {MAX_BYTES} bytes")


class Passwords:
    """Hashes and verifies; at most two at once in this process, and a bounded number waits.

    The parameters are those that OWASP's Password Storage Cheat Sheet has for Argon2id, with a second pass.

    :param hasher: with other parameters, for tests.
    """

    def __init__(self, mode: AsyncMode, hasher: PasswordHasher | None = None) -> None:
        self._mode = mode
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=47_104, parallelism=1)
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        self._present = 0  # hashing or waiting; changed without letting others run in between
        self._dummy: str | None = None

    def hash(self, password: str) -> str:
        """:raises LimitExceeded: when too many others wait."""
        return str(self._natively(self._hasher.hash, _bytes(password)))

    def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether this is the password. Takes as long where there is none to compare it with.

        :raises LimitExceeded: when too many others wait.
        """
        given = _bytes(password)
        if len(given) > MAX_BYTES:
            return False
        if self._dummy is None:
            self._dummy = self.hash("nobody has this password")
        right = self._natively(self._matches, password_hash or self._dummy, given)
        return bool(right) and password_hash is not None

    def outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than today's."""
        return bool(self._hasher.check_needs_rehash(password_hash))

    def _matches(self, password_hash: str, given: bytes) -> bool:
        try:
            return bool(self._hasher.verify(password_hash, given))
        except (VerificationError, InvalidHashError):
            return False

    def _natively(self, function: object, *args: object) -> object:
        if self._present >= _AT_ONCE + _WAITING:
            raise LimitExceeded("too many people sign in at once; try again in a moment", retry_after_s=_RETRY_S)
        self._present += 1
        try:
            with self._free:
                return self._mode.native(function, *args)  # type: ignore[arg-type]  # any function will do
        finally:
            self._present -= 1


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")

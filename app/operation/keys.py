"""Provider keys at rest: encrypted with what is derived from SECRET_KEY, never shown again."""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PURPOSE = b"colloquy provider keys 1"
_HINT_CHARS = 4
_HINT_FROM_CHARS = 13


class KeyUnreadable(Exception):
    """What is stored was encrypted under another SECRET_KEY, or belongs to another provider."""


class KeyBox:
    """Encrypts and decrypts. What it makes is bound to its provider: moved to another row, it cannot be read.

    :param secrets: what the keys are derived from (HKDF with SHA-256, RFC 5869). The first one encrypts; all decrypt.
    """

    def __init__(self, *secrets: str) -> None:
        self._fernets = MultiFernet([Fernet(_derived(secret)) for secret in secrets])

    def close(self, provider_id: str, key: str) -> bytes:
        """The key as it may be stored."""
        return self._fernets.encrypt(f"{provider_id}\n{key}".encode())

    def open(self, provider_id: str, cipher: bytes) -> str:
        """The key.

        :raises KeyUnreadable:
        """
        try:
            owner, _, key = self._fernets.decrypt(cipher).decode().partition("\n")
        except (InvalidToken, UnicodeDecodeError):
            raise KeyUnreadable from None
        if owner != provider_id:
            raise KeyUnreadable
        return key


def hint_of(key: str) -> str | None:
    """The last characters of a key, to tell one from another; of a short one, nothing."""
    return key[-_HINT_CHARS:] if len(key) >= _HINT_FROM_CHARS else None


def _derived(secret: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
    return base64.urlsafe_b64encode(derived)

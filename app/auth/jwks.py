"""The public keys of an issuer of tokens (JWKS, RFC 7517), fetched when one is missing."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from app.concurrency import AsyncMode
from app.errors import KeysUnavailable

logger = logging.getLogger(__name__)

Algorithm = Literal["RS256", "ES256"]
_KINDS: dict[str, Algorithm] = {"RSA": "RS256", "EC": "ES256"}

_EVERY_S = 30.0  # at most one look in this time, whatever arrives
_STALE_S = 600.0  # then the keys are looked at again, beside the work: one may have been withdrawn
_WAIT_S = 5.0
_TIMEOUT_S = 4.0
_MAX_BYTES = 262_144
_MAX_KEYS = 100
_MIN_RSA_BITS = 2048


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def fetch(url: str) -> bytes:
    """The document at an address, cooperatively. Redirects are not followed.

    :raises OSError: :raises ValueError: when it is too long, or takes too long.
    """
    opener = urllib.request.build_opener(_NoRedirects)
    headers = {"Accept": "application/json", "User-Agent": "colloquy"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  # the settings take http and https alone
    deadline, body = time.monotonic() + _TIMEOUT_S, b""
    with opener.open(request, timeout=_TIMEOUT_S) as answer:
        while piece := answer.read1(65_536):
            body += piece
            if len(body) > _MAX_BYTES:
                raise ValueError(f"the keys are longer than {_MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise ValueError(f"the keys took longer than {_TIMEOUT_S:g} s")
    return body


def keys_in(document: bytes) -> dict[tuple[str, Algorithm], Any]:
    """The keys for signatures of a JWKS, by id and algorithm. What is no such key is passed over: symmetric and private
    keys, short ones, other curves.

    :raises ValueError: when it is no JWKS, or has no key that is of use.
    """
    try:
        entries = json.loads(document)["keys"]
        if not isinstance(entries, list):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("this is no JWKS") from None
    found: dict[tuple[str, Algorithm], Any] = {}
    for entry in entries[:_MAX_KEYS]:
        algorithm = _KINDS.get(entry.get("kty", "")) if isinstance(entry, dict) else None
        if algorithm is None or entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
            continue
        kid = entry.get("kid", "")
        try:
            key = PyJWK(entry, algorithm=algorithm).key
        except (PyJWTError, ValueError, TypeError):
            continue
        good = (isinstance(key, RSAPublicKey) and key.key_size >= _MIN_RSA_BITS) or (
            isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
        )
        if good and isinstance(kid, str):
            found[kid, algorithm] = key
    if not found:
        raise ValueError("there is no RS256 or ES256 key in it")
    return found


class KeySet:
    """The keys that lie at an address. What a token says about where its key lies is never followed.

    A key that is not known makes one look at the address, at most one in 30 s whatever arrives. While the address is
    away, the keys that were there stay.

    :param on_change: called when keys have gone or come.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        url: str,
        mode: AsyncMode,
        *,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        fetch: Callable[[str], bytes] = fetch,
    ) -> None:
        self._url = url
        self._mode = mode
        self._on_change = on_change
        self._clock = clock
        self._fetch = fetch
        self._keys: dict[tuple[str, Algorithm], Any] = {}  # replaced as a whole
        self._lock = threading.Lock()  # guards the three below
        self._looking: threading.Event | None = None
        self._looked_at: float | None = None  # because a key was missing
        self._read_at: float | None = None  # successfully, or tried
        self.looks = 0

    def find(self, kid: str | None, algorithm: Algorithm) -> Any:
        """The key of this id, for this algorithm; without an id, the only one of that algorithm. None: not known.

        Waits at most 5 s.

        :raises KeysUnavailable: when there never was an answer.
        """
        key = self._known(kid, algorithm)
        if key is not None:
            if self._clock() - (self._read_at or 0.0) > _STALE_S:
                self._look()
            return key
        done = self._look()
        if done is not None:
            done.wait(_WAIT_S)
        key = self._known(kid, algorithm)
        if key is None and not self._keys:
            raise KeysUnavailable("the keys of the tokens' issuer cannot be had now", retry_after_s=_EVERY_S)
        return key

    def _known(self, kid: str | None, algorithm: Algorithm) -> Any:
        if kid is not None:
            return self._keys.get((kid, algorithm))
        fitting = [key for (_, kind), key in self._keys.items() if kind == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _look(self) -> threading.Event | None:
        """Begin to look, if it is time; the look that is under way, or None."""
        with self._lock:
            if self._looking is not None:
                return self._looking
            now = self._clock()
            first = self._read_at is None  # the first look of all does not count: a key may be new just then
            if not first and self._looked_at is not None and now - self._looked_at < _EVERY_S:
                return None
            if not first:
                self._looked_at = now
            self._read_at = now
            self._looking = done = threading.Event()
        self._mode.spawn(self._read, done)
        return done

    def _read(self, done: threading.Event) -> None:
        self.looks += 1
        try:
            keys = keys_in(self._fetch(self._url))
        except Exception as error:  # noqa: BLE001  # an address can fail in any way; what was known stays
            logger.warning("the keys at JWT_JWKS_URL cannot be read: %s", type(error).__name__)
        else:
            changed = keys != self._keys  # also another key under the same id
            self._keys = keys
            if changed:
                self._on_change()
        finally:
            with self._lock:
                self._looking = None
            done.set()

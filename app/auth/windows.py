"""Memory for the moving windows of the `limits` library.

The library's own storage starts a timer's thread for each hit, and each goes through all keys: from ten thousand
addresses that is what holds everybody up. This one looks only at what is due.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque

from limits.storage import Storage
from limits.storage.base import MovingWindowSupport

_MOST_KEYS = 100_000


class Windows(Storage, MovingWindowSupport):
    """When what was done, by key. Beyond 100,000 keys, the one that was quiet for longest is forgotten."""

    STORAGE_SCHEME: list[str] | None = ["colloquy-windows"]  # noqa: RUF012  # declared so by the library

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: str) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)
        self._lock = threading.Lock()  # guards the dictionary; nothing is waited for while it is held
        self._hits: OrderedDict[str, tuple[float, deque[float]]] = OrderedDict()  # the quietest first; with its end

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = time.time()
        with self._lock:
            self._forget(now)
            _, hits = self._hits.get(key, (0.0, deque[float]()))
            while hits and hits[0] <= now - expiry:
                hits.popleft()
            if len(hits) + amount > limit:
                return False
            hits.extend([now] * amount)
            self._hits[key] = (now + expiry, hits)
            self._hits.move_to_end(key)
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        now = time.time()
        with self._lock:
            _, hits = self._hits.get(key, (0.0, deque[float]()))
            live = [hit for hit in hits if hit > now - expiry]
        return (live[0], len(live)) if live else (now, 0)

    def _forget(self, now: float) -> None:
        while self._hits:
            key, (ends_at, _) = next(iter(self._hits.items()))
            if ends_at > now and len(self._hits) < _MOST_KEYS:
                return
            del self._hits[key]

    def __len__(self) -> int:
        return len(self._hits)

    def clear(self, key: str) -> None:
        with self._lock:
            self._hits.pop(key, None)

    def reset(self) -> int | None:
        with self._lock:
            found = len(self._hits)
            self._hits.clear()
        return found

    def check(self) -> bool:
        return True

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError("for moving windows only")

    def get(self, key: str) -> int:
        raise NotImplementedError("for moving windows only")

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError("for moving windows only")

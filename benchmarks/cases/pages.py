"""Lists, searches and pages of 1,000 stored conversations of 200 messages: how long does the server take?"""

from __future__ import annotations

import functools
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.concurrency import AsyncMode
from app.store.database import Database
from app.store.sql import SqlStore
from benchmarks.cases import Measured, Options
from benchmarks.figures import Figure, percentile
from benchmarks.filled import COMMON, RARE, fill
from tests.support.http import http_json
from tests.support.processes import rss_bytes
from tests.support.server import ColloquyServer

NAME = "pages"
TITLE = "Reading what is stored (SQLite; HTTP round trips, one after the other)"
ASKED = 60  # times, of each kind
TARGET_MS = 50.0
_LIST, _SEARCH, _READ = "/api/conversations", "/api/conversations?search=", "/api/conversations/{}/messages?limit=200"
_KINDS = {
    "list, page by page": "pages",
    "list, filtered by team and status": f"{_LIST}?team=debate&status=completed",
    "search for a rare word": _SEARCH + RARE,
    "search for a word that half of all messages have": _SEARCH + COMMON,
    "search for two words, one a beginning": _SEARCH + quote(f"{COMMON} w1"),
    "read a conversation's 200 messages": _READ,
}
FIGURES = (
    *(Figure(f"{kind}, p95", "ms", target=TARGET_MS) for kind in _KINDS),
    Figure("memory that a second round of it takes", "MB", target=5.0),
)
_folder = tempfile.TemporaryDirectory(prefix="colloquy-bench-")


@functools.cache
def _filled(conversations: int) -> str:
    """The address of a filled database; made once for all rounds."""
    url = f"sqlite:///{Path(_folder.name) / f'{conversations}.sqlite3'}"
    mode = AsyncMode("threading")
    database = Database(url, mode)
    database.prepare()
    fill(SqlStore(database, mode), conversations, 200)
    return url


def measure(target_name: str, options: Options) -> Measured:
    """One round. The plain app stores nothing."""
    if target_name != "colloquy":
        return Measured({})
    with ColloquyServer(env={"DATABASE_URL": _filled(options.stored_conversations)}) as server:
        for path in _KINDS.values():  # what is read the first time comes into memory, up to MAX_CONVERSATIONS
            _p95_ms(server, path, options.stored_conversations)
        before = rss_bytes(server.pid)
        values: dict[str, float | None] = {
            f"{kind}, p95": _p95_ms(server, path, options.stored_conversations) for kind, path in _KINDS.items()
        }
        values["memory that a second round of it takes"] = (rss_bytes(server.pid) - before) / 1e6
    return Measured(values)


def _p95_ms(server: ColloquyServer, path: str, conversations: int) -> float | None:
    took: list[float] = []
    cursor: str | None = None
    for number in cycle(range(conversations)):
        if path == "pages":
            wanted = f"{_LIST}?limit=50" + (f"&cursor={cursor}" if cursor else "")
        else:
            wanted = path.format(f"filled{number * 7 % conversations:06}")
        began = time.perf_counter()
        answer: dict[str, Any] = http_json("GET", server.url + wanted, timeout_s=30)
        took.append((time.perf_counter() - began) * 1000)
        cursor = answer.get("next_cursor")
        if len(took) >= ASKED:
            break
    return percentile(sorted(took), 0.95)

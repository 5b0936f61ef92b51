"""The database locked, slow, or away, under 20 live conversations: who notices, and is anything missing afterwards?"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from app.protocol.commands import RunOptions, StartStream
from benchmarks.cases import Measured, Options
from benchmarks.client import Channel
from benchmarks.figures import Figure
from benchmarks.targets import Target, accepted, make_target
from tests.support.http import http_json
from tests.support.model_server import ModelServer
from tests.support.postgres import PostgresServer
from tests.support.stored import migrated, missing, store_at

NAME = "outage"
TITLE = "The database locked or slow (SQLite), and away (PostgreSQL), under 20 live conversations"
CONVERSATIONS = 20
_WARM_TOKENS = 20
_BACK_S = 5.0
_HELD_S, _FREE_S = 0.5, 0.05
FIGURES = (
    Figure("event loop lateness p99, database at hand", "ms", better="none"),
    Figure("event loop lateness p99, database locked", "ms", better="none"),
    Figure("event loop lateness p99, database slow", "ms", better="none"),
    Figure("locked : at hand", "x", better="none"),
    Figure("slow : at hand", "x", better="none"),
    Figure("tokens lost or out of order, database locked or slow", "count", target=0, worst=True),
    Figure("tokens lost or out of order, database away", "count", target=0, worst=True),
    Figure("messages missing in the store 5 s after it is back", "count", target=0, worst=True),
    Figure("messages said by then", "count", better="none"),
)


def measure(target_name: str, options: Options) -> Measured:
    """One round. The plain app stores nothing."""
    if target_name != "colloquy":
        return Measured({})
    with ModelServer() as model:
        model.control(tokens=50, token_delay_ms=20, markers=True)
        with tempfile.TemporaryDirectory(prefix="colloquy-bench-") as folder:
            file = Path(folder) / "store.sqlite3"
            target = make_target(target_name, model.url, "scripted", {"DATABASE_URL": f"sqlite:///{file}"})
            with target.process:
                values = asyncio.run(_locked(target, file, options.seconds))
        with PostgresServer() as postgres:
            url = migrated(postgres)
            target = make_target(target_name, model.url, "scripted", {"DATABASE_URL": url})
            with target.process:
                values |= asyncio.run(_away(target, postgres, url, options.outage_s))
    return Measured(values)


async def _live(target: Target, seconds: float) -> tuple[list[Channel], list[str]]:
    """20 conversations that go on for longer than so many seconds."""
    channels = [await Channel.connect(target.port) for _ in range(CONVERSATIONS)]
    turns = min(100, int(seconds / 1.2) + 20)  # of 50 tokens, 20 ms apart
    options = RunOptions(tokens_per_s=0, max_turns=turns).model_dump(exclude_none=True)
    asked: dict[str, Any] = {"content": "What will the market do?", "team": "debate", "options": options}
    acks = await asyncio.gather(*(channel.call(StartStream.name, asked) for channel in channels))
    await asyncio.gather(*(channel.wait_tokens(_WARM_TOKENS) for channel in channels))
    return channels, [str(accepted(ack)["conversation_id"]) for ack in acks]


async def _locked(target: Target, file: Path, seconds: float) -> dict[str, float | None]:
    channels, _ = await _live(target, 3 * seconds)
    await asyncio.sleep(seconds)
    at_hand = target.loop_lateness_ms(seconds)["p99"]
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    try:
        await asyncio.to_thread(connection.execute, "BEGIN EXCLUSIVE")
        await asyncio.sleep(seconds)
        locked = target.loop_lateness_ms(seconds)["p99"]
        connection.execute("ROLLBACK")
        await _slow_down(connection, seconds)
        slow = target.loop_lateness_ms(seconds)["p99"]
    finally:
        connection.close()
    lost = _lost(channels)
    for channel in channels:
        channel.close()
    return {
        "event loop lateness p99, database at hand": at_hand,
        "event loop lateness p99, database locked": locked,
        "event loop lateness p99, database slow": slow,
        "locked : at hand": locked / at_hand if at_hand else None,
        "slow : at hand": slow / at_hand if at_hand else None,
        "tokens lost or out of order, database locked or slow": lost,
    }


async def _slow_down(connection: sqlite3.Connection, seconds: float) -> None:
    """Nearly always somebody else writes: each of the server's transactions waits for half a second."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.to_thread(connection.execute, "BEGIN EXCLUSIVE")
        await asyncio.sleep(_HELD_S)
        connection.execute("ROLLBACK")
        await asyncio.sleep(_FREE_S)


async def _away(target: Target, postgres: PostgresServer, url: str, seconds: float) -> dict[str, float | None]:
    channels, conversations = await _live(target, seconds)
    postgres.stop()
    await asyncio.sleep(seconds)
    address = f"http://127.0.0.1:{target.port}/api/conversations/"
    shown = [http_json("GET", address + each) for each in conversations]
    for snapshot in shown:  # what is still being said at this moment is more than what has to be there
        snapshot["messages"] = [each for each in snapshot["messages"] if each["state"] != "open"]
    await asyncio.to_thread(postgres.start)
    back_at = time.monotonic()
    await asyncio.sleep(_BACK_S - (time.monotonic() - back_at))
    store = store_at(url)
    lacks = [each for snapshot in shown for each in missing(store, snapshot) if each.startswith("the message")]
    lost = _lost(channels)
    for channel in channels:
        channel.close()
    return {
        "tokens lost or out of order, database away": lost,
        "messages missing in the store 5 s after it is back": float(len(lacks)),
        "messages said by then": float(sum(len(snapshot["messages"]) for snapshot in shown)),
    }


def _lost(channels: list[Channel]) -> float:
    return float(sum(channel.holes + channel.backwards + channel.closed for channel in channels))

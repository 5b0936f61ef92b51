"""What the runner writes together, and in which order."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from app.runner import link as module
from app.runner.link import Link
from app.runner.wire import Spent


async def test_deltas_after_a_write_wait_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first leaves at once; what comes soon after it is joined; other messages take it along at once."""
    monkeypatch.setattr(module, "DELTAS_EVERY_S", 3600.0)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    link = await Link.connect(theirs.detach(), lambda line: None, lambda writable: None, lambda: None)
    loop = asyncio.get_running_loop()

    async def received() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (await loop.sock_recv(ours, 65_536)).splitlines()]

    def say(session: str, text: str) -> None:
        link.send_delta(session, "m", "Ann", text, 1, demo=False)

    link._written_at = loop.time() - 2 * module.DELTAS_EVERY_S
    say("s", "a")
    assert [each["payload"]["delta"] for each in await received()] == ["a"]
    say("s", "b")
    say("t", "x")
    say("s", "c")
    await asyncio.sleep(0)
    with pytest.raises(BlockingIOError):
        ours.recv(1)
    link.send(Spent(session="s", tokens=3, wanted=0))
    together = await received()
    assert [(each["session"], each.get("payload", {}).get("delta")) for each in together] == [
        ("s", "bc"),
        ("t", "x"),
        ("s", None),
    ]
    assert link._transport is not None
    link._transport.close()
    await asyncio.sleep(0)
    ours.close()

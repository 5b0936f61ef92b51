"""Many watchers at next to no cost: compiles ``crowd.c`` once and drives it. Needs a C compiler, and Linux (epoll)."""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from app.protocol import NAMESPACE
from app.protocol.commands import Join, RunOptions, StartStream
from app.protocol.events import ConversationComplete, MessageDelta

SOURCE = Path(__file__).with_name("crowd.c")
READY_WAIT_S = 60.0


@functools.cache
def compiled() -> str | None:
    """The path of the program, made in a folder that lasts as long as this process; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    folder = _folder()
    program = Path(folder.name) / "crowd"
    subprocess.run([compiler, "-O2", "-o", str(program), str(SOURCE)], check=True)
    return str(program)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="colloquy-bench-")


class Crowd:
    """``rooms`` x ``watchers`` connections in a process of their own. An async context manager: opens when all are in.

    :param gap_ms: between the starts of two rooms.
    """

    def __init__(self, port: int, rooms: int, watchers: int, content: str, *, gap_ms: int = 40) -> None:
        options = RunOptions(tokens_per_s=0, max_turns=1).model_dump(exclude_none=True)
        start = [StartStream.name, {"content": content, "team": "debate", "options": options}]
        join = [Join.name, {"conversation_id": "%s"}]
        event = f"42{NAMESPACE},"
        self._arguments = [
            *map(str, (port, rooms, watchers, gap_ms)),
            f"40{NAMESPACE},",
            f"{event}1{json.dumps(start)}",
            f"{event}1{json.dumps(join)}",
            f'{event}["{MessageDelta.name}",',
            f'{event}["{ConversationComplete.name}",',
        ]

    async def __aenter__(self) -> Crowd:
        program = compiled()
        assert program is not None
        self._process = await asyncio.create_subprocess_exec(
            program, *self._arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(READY_WAIT_S):
            line = await self._process.stdout.readline()
        if line != b"ready\n":
            raise RuntimeError("the crowd could not get in; see above")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def take(self) -> dict[str, Any]:
        """Totals (tokens, frames, holes, backwards, done, closed); p50, p99, p999, max since the last call in ms."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"take\n")
        figures: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return figures

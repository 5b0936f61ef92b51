"""Sessions under load in one real async mode: ``python -m tests.streaming.in_mode eventlet``. Exits 0 if all is well.

No stand-in for time or tasks here: real greenlets or threads, real conditions; only the runner and the sockets are.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from typing import Any

from app.concurrency import patch

MODE = sys.argv[1]
patch(MODE)

from app.concurrency import AsyncMode, SystemClock  # noqa: E402  # after the patch, as run.py does
from app.errors import InvalidState  # noqa: E402
from app.protocol.common import ContentType, Status  # noqa: E402
from app.protocol.events import AgentMessage, MessageDelta, MessageStart  # noqa: E402
from app.runner.wire import StartRun  # noqa: E402
from app.streaming.config import StreamingConfig  # noqa: E402
from app.streaming.session import StreamingSession  # noqa: E402
from tests.streaming.fakes import TEAM, FakeRun, FakeRunners, RecordingTransport, a_conversation, a_reader  # noqa: E402

SESSIONS, TOKENS, TIMEOUT_S = 12, 400, 30


class RealTime(SystemClock):
    """What the stand-ins ask of a simulation, from the mode itself."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = AsyncMode(MODE)
        self.spawn = self.mode.spawn
        self.sleep = self.mode.sleep
        self.condition = self.mode.condition

    def switch(self) -> None:
        if random.random() < 0.1:
            self.mode.sleep(0)


class Scene:
    """One session, its run, and people who steer it."""

    def __init__(self, real: Any, number: int) -> None:
        self.real = real
        self.transport = RecordingTransport(real)
        self.runners = FakeRunners(real)
        self.conversation = a_conversation(real, self.transport)
        self.stops = number % 3 == 0
        run = StartRun(
            session="s1",
            conversation="c1",
            team=TEAM,
            content="Why?",
            content_type=ContentType.TEXT,
            allowed=40,
        )
        config = StreamingConfig(buffer_tokens=50, tokens_per_s=[0, 2000][number % 2])
        self.session = StreamingSession(
            "s1", self.conversation, run, config=config, runners=self.runners, concurrency=real, clock=real
        )
        self.readers = [a_reader(self.transport) for _ in range(3)]
        self.texts: dict[str, str] = {}
        self.loses = number % 4 == 1

    def begin(self) -> None:
        self.session.open_room()
        self.session.launch()
        for task in (self.speak, self.steer, self.watch):
            self.real.spawn(task)

    def speak(self) -> None:
        sent, message = 0, 0
        while sent < TOKENS and not self.session.ended:
            run: FakeRun = self.runners.last
            if run.silent or not run.credit:
                self.real.sleep(0.001)
                continue
            message += 1
            text = ""
            run.event(MessageStart(message_id=f"m{message}", agent="Ann"), 1)
            while run.credit and not run.silent and len(text) < 100:
                piece = f"{sent} "
                run.event(MessageDelta(message_id=f"m{message}", agent="Ann", delta=piece), 1)
                text += piece
                sent += 1
                self.real.switch()
            if self.loses and sent > TOKENS / 2:
                self.loses = False
                run.lose()
                continue
            if run.silent:
                while run.paused and not run.ended:
                    self.real.sleep(0.001)
                if run.ended:
                    return
            run.event(AgentMessage(message_id=f"m{message}", agent="Ann", content=text), 1)
            self.texts[f"m{message}"] = text
        if not self.runners.last.silent:
            self.runners.last.complete()

    def steer(self) -> None:
        for number in range(6):
            for command in (self.session.pause, self.session.resume):
                self.real.sleep(random.random() * 0.004)
                try:
                    command()
                except InvalidState:
                    pass
            if self.stops and number == 3:
                try:
                    self.session.stop()
                except InvalidState:
                    pass

    def watch(self) -> None:
        for reader in self.readers:
            self.real.sleep(random.random() * 0.01)
            reader.follow(self.conversation)
        for _ in range(5):
            reader = random.choice(self.readers)
            self.real.sleep(random.random() * 0.005)
            self.conversation.leave(reader.sid)
            reader.read()
            assert reader.follow(self.conversation, reader.position)

    def check(self) -> None:
        truth = self.conversation.snapshot()
        for reader in self.readers:
            assert reader.read() == truth
        shown = {message.message_id: message.content for message in self.conversation.fold.snapshot().messages}
        for message_id, text in self.texts.items():
            assert shown[message_id] == text, (message_id, shown[message_id], text)
        assert self.session.status in (Status.COMPLETED, Status.STOPPED), self.session.status
        assert self.session.tokens_dropped == 0


def main() -> None:
    """Run all, and look."""
    failures: list[str] = []
    threading.excepthook = lambda args: failures.append(repr(args.exc_value))
    real = RealTime()
    scenes = [Scene(real, number) for number in range(SESSIONS)]
    for scene in scenes:
        scene.begin()
    deadline = time.monotonic() + TIMEOUT_S
    while not all(scene.session.ended for scene in scenes):
        assert time.monotonic() < deadline, [str(scene.session.status) for scene in scenes]
        real.sleep(0.01)
    real.sleep(0.3)  # the watchers end
    for scene in scenes:
        scene.check()
    assert not failures, failures
    print(f"{MODE}: {sum(scene.conversation.log.offset for scene in scenes)} entries")


if __name__ == "__main__":
    main()

"""A manager among stand-ins, and what the tests ask of it."""

from __future__ import annotations

from typing import Any

from app.runner.wire import Limits
from app.streaming.bounds import Bounds
from app.streaming.config import StreamingConfig
from app.streaming.manager import StreamingManager
from app.streaming.ports import Allowance, Teams
from app.streaming.session import StreamingSession
from tests.streaming.fakes import FakeArchive, FakeModels, FakeRun, FakeRunners, FakeTeams, RecordingTransport
from tests.streaming.simulation import Simulation


class House:
    """A manager among stand-ins."""

    def __init__(self, teams: Teams | None = None, allowance: Allowance | None = None, **bounds: Any) -> None:
        self.simulation = Simulation()
        self.transport = RecordingTransport(self.simulation)
        self.runners = FakeRunners(self.simulation)
        self.archive = FakeArchive(self.simulation)
        self.models = FakeModels()
        self.manager = StreamingManager(
            config=StreamingConfig(tokens_per_s=0),
            bounds=Bounds(**bounds),
            limits=Limits(),
            runners=self.runners,
            models=self.models,
            teams=teams or FakeTeams(),
            archive=self.archive,
            transport=self.transport,
            concurrency=self.simulation,
            clock=self.simulation,
            record=self.archive.record,
            allowance=allowance,
        )

    def start(self, content: str = "Why?", **more: Any) -> StreamingSession:
        return self.manager.start(team="debate", content=content, owner="local", **more)

    def run(self, content: str = "Why?", **more: Any) -> StreamingSession:
        """A session whose run has been launched."""
        session = self.start(content, **more)
        self.manager.begin(session)
        self.simulation.settle()
        return session

    def send(self, conversation_id: str, content: str, **more: Any) -> StreamingSession:
        """The next turn of one that has ended, launched."""
        sent = self.manager.send_message(conversation_id, content, **more)
        assert sent.session is not None
        self.manager.begin(sent.session)
        self.simulation.settle()
        return sent.session

    def complete(self, session: StreamingSession) -> None:
        """Let its run end."""
        for run in self.runners.runs:
            if run.request.session == session.id and not run.ended:
                run.complete()
        self.simulation.settle()

    def tick(self, seconds: float = 0.0) -> None:
        """One round of housekeeping, so much later."""
        if seconds:
            self.simulation.advance(seconds)
        self.manager.tick()
        self.simulation.settle()

    def restarted(self, **bounds: Any) -> House:
        """Another server with the same store: this one was killed."""
        other = House(**bounds)
        other.archive.kept, other.archive.states = dict(self.archive.kept), dict(self.archive.states)
        return other

    def say(self, message_id: str, text: str, run: FakeRun | None = None) -> None:
        """Let the latest run say a whole message."""
        run = run or self.runners.last
        run.start(message_id)
        run.delta(message_id, text)
        run.finish(message_id)
        self.simulation.settle()

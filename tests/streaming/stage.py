"""One conversation with one session, stand-ins around it, and what the tests ask of it."""

from __future__ import annotations

import random
from typing import Any

from app.protocol.common import ContentType, Status
from app.protocol.snapshot import MessageView
from app.runner.wire import StartRun
from app.streaming.config import StreamingConfig
from app.streaming.conversation import DEFAULT_CATCH_UP, Recorder
from app.streaming.readers import CatchUp
from app.streaming.session import StreamingSession
from tests.streaming.fakes import TEAM, FakeRun, FakeRunners, RecordingTransport, a_conversation, a_reader
from tests.streaming.simulation import SimulatedTask, Simulation


class Stage:
    """A session between a stand-in runner and a recording transport.

    :param tokens_per_s: the pace; 0: unlimited.
    :param choices: see :class:`Simulation`.
    :param answer_s: virtual time until the runner confirms a command.
    """

    def __init__(
        self,
        *,
        tokens_per_s: float = 50,
        buffer_tokens: int = 1000,
        high_water: float = 0.8,
        low_water: float = 0.3,
        choices: random.Random | None = None,
        answer_s: float = 0.0,
        max_restarts: int = 2,
        input_timeout_s: float = 0.0,
        max_log_entries: int = 10_000,
        record: Recorder | None = None,
        checkpoint: dict[str, Any] | None = None,
        catch_up: CatchUp = DEFAULT_CATCH_UP,
    ) -> None:
        self.simulation = Simulation(choices)
        self.transport = RecordingTransport(self.simulation)
        self.runners = FakeRunners(self.simulation, answer_s)
        self.config = StreamingConfig(
            buffer_tokens=buffer_tokens, tokens_per_s=tokens_per_s, high_water=high_water, low_water=low_water
        )
        self.max_restarts = max_restarts
        self.input_timeout_s = input_timeout_s
        self.checkpoints: list[tuple[str, dict[str, Any]]] = []
        self.conversation = a_conversation(
            self.simulation, self.transport, max_log_entries=max_log_entries, record=record, catch_up=catch_up
        )
        self.session = self.new_session("s1", checkpoint)
        self.reader = a_reader(self.transport)

    def new_session(self, session_id: str, checkpoint: dict[str, Any] | None = None) -> StreamingSession:
        """A further session of the conversation."""
        return StreamingSession(
            session_id,
            self.conversation,
            StartRun(
                session=session_id,
                conversation=self.conversation.id,
                team=TEAM,
                content="Why?",
                content_type=ContentType.TEXT,
                allowed=self.config.high_water_tokens,
                checkpoint=checkpoint,
            ),
            config=self.config,
            runners=self.runners,
            concurrency=self.simulation,
            clock=self.simulation,
            max_restarts=self.max_restarts,
            input_timeout_s=self.input_timeout_s,
            save_checkpoint=lambda conversation_id, state: self.checkpoints.append((conversation_id, state)),
        )

    def begin(self) -> None:
        """Join a reader, open the room and launch."""
        self.reader.follow(self.conversation)
        self.session.open_room()
        self.session.launch()
        self.settle()

    @property
    def run(self) -> FakeRun:
        return self.runners.last

    def settle(self) -> None:
        self.simulation.settle()

    def advance(self, seconds: float) -> None:
        self.simulation.advance(seconds)

    def later(self, function: Any, *args: Any) -> SimulatedTask:
        """Do something in the background, e.g. a command that waits."""
        return self.simulation.spawn(function, *args)

    @property
    def status(self) -> Status:
        return self.conversation.status

    def messages(self) -> dict[str, MessageView]:
        return {message.message_id: message for message in self.conversation.fold.snapshot().messages}

    def text(self, message_id: str) -> str:
        """The text of a message as the server shows it; empty where there is none."""
        message = self.messages().get(message_id)
        return message.content if message else ""

    def check_reader(self) -> None:
        """The reader shows what the server knows."""
        assert self.reader.read() == self.conversation.snapshot()

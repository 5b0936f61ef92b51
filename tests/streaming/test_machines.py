"""Random histories of the core, checked step by step against simple models."""

from __future__ import annotations

import copy
import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.errors import AnsweredAlready, InputUnknown, InvalidState
from app.protocol.common import Position, Status
from app.protocol.events import (
    AgentMessage,
    AgentStep,
    ConversationComplete,
    Event,
    InputRequest,
    InputResolved,
    MessageDelta,
    MessageReset,
    MessageStart,
    Progress,
)
from app.streaming.buffer import BufferClosed, BufferFull, TokenBuffer
from app.streaming.fold import ConversationFold
from app.streaming.log import ConversationLog, PositionLost, merge_deltas
from app.streaming.states import RUNNING, TERMINAL, TRANSITIONS
from tests.streaming.fakes import FakeRun, a_reader
from tests.streaming.readers import Reader, fold_event
from tests.streaming.simulation import SimulatedTask, Simulation
from tests.streaming.stage import Stage

MESSAGES = st.sampled_from(["m1", "m2", "m3"])
AGENTS = st.sampled_from(["Ann", "Bob"])
TEXTS = st.text("ab é\n", min_size=0, max_size=4)


class BufferMachine(RuleBasedStateMachine):
    """A :class:`TokenBuffer` beside a list."""

    @initialize(capacity=st.integers(1, 12), marks=st.tuples(st.integers(0, 11), st.integers(1, 12)))
    def begin(self, capacity: int, marks: tuple[int, int]) -> None:
        self.high = min(max(marks), capacity)
        self.low = min(min(marks), self.high - 1)
        self.simulation = Simulation()
        self.buffer: TokenBuffer[int] = TokenBuffer(capacity, self.high, self.low, self.simulation.condition)
        self.inside: list[tuple[int, int]] = []
        self.open = True
        self.closed = False
        self.number = 0
        self.blocked: tuple[SimulatedTask, tuple[int, int]] | None = None

    def _added(self, item: tuple[int, int]) -> None:
        self.inside.append(item)
        if self._fill() >= self.high:
            self.open = False

    def _fill(self) -> int:
        return sum(tokens for _, tokens in self.inside)

    def _fits(self, tokens: int) -> bool:
        return self._fill() + tokens <= self.buffer.capacity

    @rule(tokens=st.integers(0, 14))
    def put_without_waiting(self, tokens: int) -> None:
        self.number += 1
        try:
            self.buffer.put(self.number, tokens, block=False)
        except ValueError:
            assert tokens > self.buffer.capacity
        except BufferClosed:
            assert self.closed
        except BufferFull:
            assert not self._fits(tokens)
        else:
            assert self._fits(tokens)
            assert not self.closed
            self._added((self.number, tokens))

    @precondition(lambda self: self.blocked is None)
    @rule(tokens=st.integers(0, 12))
    def put(self, tokens: int) -> None:
        if tokens > self.buffer.capacity:
            return
        self.number += 1
        self.blocked = (self.simulation.spawn(self.buffer.put, self.number, tokens), (self.number, tokens))
        self._look_at_the_blocked()

    @rule(wanted=st.one_of(st.none(), st.integers(0, 12)))
    def get(self, wanted: int | None) -> None:
        chunk = self.buffer.get_chunk(wanted)
        assert chunk == self.inside[: len(chunk)], "out of order"
        taken = sum(tokens for _, tokens in chunk)
        rest = self.inside[len(chunk) :]
        if wanted is None:
            assert not rest
        else:
            assert taken <= wanted or len([tokens for _, tokens in chunk if tokens]) <= 1
            assert not rest or taken + rest[0][1] > wanted
        self.inside = rest
        if chunk and self._fill() <= self.low:
            self.open = True
        self._look_at_the_blocked()

    @rule()
    def close(self) -> None:
        self.buffer.close()
        self.closed = True
        self._look_at_the_blocked()

    def _look_at_the_blocked(self) -> None:
        self.simulation.settle()
        if self.blocked is None:
            return
        task, item = self.blocked
        if self.closed:
            assert isinstance(task.error, BufferClosed)
        elif not item[1] or (self.open and self._fits(item[1])):
            assert task.done, "there is room, and it still waits"
            assert task.error is None
            self._added(item)
        else:
            assert not task.done
            return
        self.blocked = None

    @invariant()
    def agrees_with_the_list(self) -> None:
        if not hasattr(self, "buffer"):
            return
        assert len(self.buffer) == len(self.inside)
        assert self.buffer.tokens == self._fill() <= self.buffer.capacity
        assert self.buffer.inlet_open == self.open
        metrics = self.buffer.metrics
        assert metrics.put_tokens - metrics.got_tokens == self._fill()
        assert metrics.peak_tokens >= self._fill()


class LogMachine(RuleBasedStateMachine):
    """Log, merge and fold beside a dict: from wherever somebody goes on, everybody gets the same picture."""

    def __init__(self) -> None:
        super().__init__()
        self.log = ConversationLog("c1", max_entries=12, max_bytes=6000, epoch="e1")
        self.fold = ConversationFold("c1", "e1", created_at="t0", max_messages=1000)
        self.pictures = [self._wire()]  # at each offset

    def _wire(self) -> dict[str, Any]:
        return self.fold.snapshot().model_dump(mode="json", by_alias=True)

    def _add(self, event: Event, *, demo: bool = False) -> None:
        entry = self.log.append(event.name, event.to_wire(), timestamp=f"t{len(self.pictures)}", demo=demo)
        self.fold.apply(event.name, entry.payload)
        self.pictures.append(self._wire())

    @rule(message_id=MESSAGES, agent=AGENTS, texts=st.lists(TEXTS, min_size=1, max_size=6), demo=st.booleans())
    def deltas(self, message_id: str, agent: str, texts: list[str], demo: bool) -> None:
        for text in texts:
            self._add(MessageDelta(message_id=message_id, agent=agent, delta=text), demo=demo)

    @rule(message_id=MESSAGES, agent=AGENTS)
    def start(self, message_id: str, agent: str) -> None:
        if message_id not in {each["message_id"] for each in self.pictures[-1]["messages"]}:
            self._add(MessageStart(message_id=message_id, agent=agent))

    @rule(message_id=MESSAGES, agent=AGENTS, text=TEXTS, partial=st.booleans())
    def message(self, message_id: str, agent: str, text: str, partial: bool) -> None:
        self._add(AgentMessage(message_id=message_id, agent=agent, content=text, partial=partial))

    @rule(message_id=MESSAGES, agent=AGENTS)
    def reset(self, message_id: str, agent: str) -> None:
        self._add(MessageReset(message_id=message_id, agent=agent, reason="stalled"))

    @rule(turn=st.integers(1, 9), agent=AGENTS)
    def turn(self, turn: int, agent: str) -> None:
        self._add(AgentStep(agent=agent, turn=turn))
        self._add(Progress(current_turn=turn))

    @rule()
    def forget(self) -> None:
        self.log.forget()

    @rule(back=st.integers(0, 20), same_epoch=st.booleans())
    def go_on(self, back: int, same_epoch: bool) -> None:
        start = max(0, self.log.offset - back)
        position = Position(epoch="e1" if same_epoch else "e2", offset=start)
        kept = same_epoch and (self.log.offset - start <= len(self.log))
        assert self.log.covers(position) == kept
        if not kept:
            if same_epoch:
                with pytest.raises(PositionLost):
                    self.log.after(start)
            return
        entries = list(self.log.after(start))
        for way in (entries, merge_deltas(entries)):
            state = copy.deepcopy(self.pictures[start])
            for entry in way:
                assert entry.prev_offset == entry.payload["prev_offset"] == state["offset"]
                assert entry.offset == entry.payload["offset"] > entry.prev_offset
                fold_event(state, entry.name, entry.payload)
            assert state == self.pictures[-1]

    @invariant()
    def bounds_hold(self) -> None:
        assert len(self.log) <= self.log.max_entries
        assert len(self.log) <= 1 or self.log.size_bytes <= self.log.max_bytes
        assert len(self.log) + self.log.dropped_entries == self.log.offset == len(self.pictures) - 1
        assert self.log.offset == self.fold.offset


class SessionMachine(RuleBasedStateMachine):
    """A conversation with its sessions, whatever the clients, the run and its runner do, in whatever order.

    What every client has seen is the log, in order, without a hole or a double; and the text is what the run has said.
    """

    @initialize(
        seed=st.one_of(st.none(), st.integers(0, 2**32)),
        pace=st.sampled_from([0, 3, 50, 400]),
        buffer=st.sampled_from([1, 2, 10, 100]),
        log=st.sampled_from([4, 30, 10_000]),
        answer_s=st.sampled_from([0.0, 0.3]),
        restarts=st.integers(0, 3),
    )
    def begin(self, seed: int | None, pace: float, buffer: int, log: int, answer_s: float, restarts: int) -> None:
        self._begin_with(
            Stage(
                tokens_per_s=pace,
                buffer_tokens=buffer,
                choices=random.Random(seed) if seed is not None else None,
                max_log_entries=log,
                answer_s=answer_s,
                max_restarts=restarts,
                input_timeout_s=10,
            )
        )

    def _begin_with(self, stage: Stage) -> None:
        self.stage = stage
        self.session = self.stage.session
        self.sessions = 1
        self.message = 0
        self.speaking: tuple[FakeRun, str] | None = None
        self.readers: list[Reader] = []
        self.following: set[str] = set()
        self.commands: list[tuple[str, SimulatedTask]] = []
        self.answers: list[SimulatedTask] = []
        self.questions = 0
        self.stage.begin()
        self.readers.append(self.stage.reader)
        self.following.add(self.stage.reader.sid)

    @property
    def run(self) -> FakeRun | None:
        """The run of the present session, while it lives. A paused one may still say what was on its way."""
        run = self.stage.runners.runs[-1] if self.stage.runners.runs else None
        alive = run is not None and not run.lost and not run.ended and run.request.session == self.session.id
        return run if alive else None

    # --- the run

    @rule(count=st.integers(1, 60))
    def speak(self, count: int) -> None:
        run = self.run
        if run is None or run.paused or not run.credit:
            return
        if self.speaking is None or self.speaking[0] is not run:
            self.message += 1
            self.speaking = (run, f"m{self.message}")
            run.start(self.speaking[1])
        run.deltas(self.speaking[1], count)

    @rule()
    def finish_message(self) -> None:
        run = self.run
        if run is not None and self.speaking is not None and self.speaking[0] is run:
            run.finish(self.speaking[1])
            self.speaking = None

    @rule(turn=st.integers(1, 5))
    def take_a_turn(self, turn: int) -> None:
        run = self.run
        if run is not None and run.credit:
            run.event(AgentStep(agent="Ann", turn=turn))
            run.checkpoint({"turn": turn})

    @rule()
    def ask(self) -> None:
        if self.run is not None and self.run.credit:
            self.questions += 1
            self.run.event(InputRequest(request_id=f"r{self.questions}", agent="Ann"))

    @rule()
    def complete(self) -> None:
        self.finish_message()
        if self.run is not None:
            self.run.complete()

    @rule()
    def fail(self) -> None:
        if self.run is not None:
            self.run.fail()

    @rule()
    def lose_runner(self) -> None:
        for run in self.stage.runners.runs[-1:]:
            if not run.lost and not run.ended:
                run.lose()

    # --- the clients

    @rule(what=st.sampled_from(["pause", "resume", "stop"]), times=st.integers(1, 3))
    def command(self, what: str, times: int) -> None:
        for _ in range(times):
            self.commands.append((what, self.stage.later(getattr(self.session, what))))

    @rule(back=st.integers(0, 3), times=st.integers(1, 2))
    def answer(self, back: int, times: int) -> None:
        for _ in range(times):
            given = (f"r{self.questions - back}", "yes", None, "ann")
            self.answers.append(self.stage.later(self.session.inputs.provide, *given))

    @rule()
    def look_at_the_clock(self) -> None:
        self.session.inputs.look(self.stage.simulation.monotonic())

    @rule()
    def join(self) -> None:
        reader = a_reader(self.stage.transport)
        self.readers.append(reader)
        reader.join(self.stage.conversation)
        self.following.add(reader.sid)

    @rule(index=st.integers(0, 9))
    def attach(self, index: int) -> None:
        self.stage.conversation.attach(self.readers[index % len(self.readers)].sid)

    @rule(index=st.integers(0, 9))
    def leave(self, index: int) -> None:
        reader = self.readers[index % len(self.readers)]
        self.stage.conversation.leave(reader.sid)
        self.following.discard(reader.sid)
        reader.read()

    @rule(index=st.integers(0, 9))
    def come_back(self, index: int) -> None:
        reader = self.readers[index % len(self.readers)]
        self.stage.conversation.leave(reader.sid)
        reader.read()
        reader.join(self.stage.conversation, reader.position)
        self.following.add(reader.sid)

    @rule()
    def release(self) -> None:
        self.stage.conversation.release()

    @precondition(lambda self: self.session.ended)
    @rule()
    def next_session(self) -> None:
        self.sessions += 1
        self.session = self.stage.new_session(f"s{self.sessions}")
        self.session.open_room()
        self.stage.later(self.session.launch)

    @rule(seconds=st.sampled_from([0.01, 0.5, 3, 20]))
    def wait(self, seconds: float) -> None:
        self.stage.advance(seconds)

    @rule()
    def settle(self) -> None:
        self.stage.settle()

    # --- what always holds

    @invariant()
    def readers_see_the_log(self) -> None:
        if hasattr(self, "stage"):
            for reader in self.readers:
                reader.read()  # asserts the chain

    @invariant()
    def statuses_obey_the_table(self) -> None:
        if not hasattr(self, "stage"):
            return
        statuses = [Status(each) for each in self.stage.transport.statuses()]
        for before, after in zip([Status.COMPLETED, *statuses], statuses, strict=False):
            if before in TERMINAL:
                assert after is Status.INITIALIZING
            else:
                assert after in TRANSITIONS[before] or after is before

    @invariant()
    def buffers_are_bounded(self) -> None:
        if hasattr(self, "stage"):
            assert self.session._outlet.buffer.tokens <= self.session.config.buffer_tokens
            for run in self.stage.runners.runs:
                if not run.lost:
                    assert run.credit <= self.session.config.high_water_tokens

    def teardown(self) -> None:
        if not hasattr(self, "stage"):
            return
        stage = self.stage
        stage.advance(30)
        if stage.status is Status.PAUSED:
            stage.session = self.session
            stage.later(self._resume)
            stage.advance(30)
        if self.run is not None:
            self.complete()
        stage.advance(1000)  # whatever the pace
        assert stage.status not in RUNNING, "the session hangs"
        assert self.session.ended
        assert all(task.done for _, task in self.commands), "a command hangs"
        for _, task in self.commands:
            assert task.error is None or isinstance(task.error, InvalidState)
        self._check_tasks()
        self._check_readers()
        self._check_texts()
        self._check_questions()

    def _check_questions(self) -> None:
        """Who was told of a question was told of its end, once; and each good answer reached its run, once."""
        assert all(task.done for task in self.answers)
        good = [task for task in self.answers if task.error is None]
        assert all(isinstance(task.error, (AnsweredAlready, InputUnknown)) for task in self.answers if task.error)
        for task in self.answers:
            task.error = None
        assert self.stage.conversation.fold.pending_inputs() == ()
        asked = dict.fromkeys(each["request_id"] for each in self.stage.transport.payloads(InputRequest))
        ended = self.stage.transport.payloads(InputResolved)
        assert sorted(each["request_id"] for each in ended) == sorted(asked)
        answered = [each["request_id"] for each in ended if each["resolution"] == "answered"]
        assert len(answered) == len(good)
        heard = [answer.request_id for run in self.stage.runners.runs for answer in run.answers]
        assert len(heard) == len(set(heard))

    def _check_tasks(self) -> None:
        assert not [task for task in self.stage.simulation.tasks if not task.done]

    def _resume(self) -> None:
        try:
            self.session.resume()
        except InvalidState:
            pass

    def _check_readers(self) -> None:
        truth = self.stage.conversation.snapshot()
        for reader in self.readers:
            if reader.sid not in self.following:
                reader.join(self.stage.conversation, reader.position)
            self.stage.conversation.attach(reader.sid)
            self.stage.advance(1)  # much that was missed comes in portions
            assert reader.read() == truth

    def _check_texts(self) -> None:
        shown = self.stage.messages()
        completions = len(self.stage.transport.payloads(ConversationComplete))
        assert completions == self.stage.transport.statuses().count("completed")
        assert all(message.state != "open" for message in shown.values())
        for run in self.stage.runners.runs:
            for message_id, text in run.finished.items():
                if message_id in shown:
                    assert shown[message_id].content == text
                    assert shown[message_id].state == "complete"
                else:
                    assert run.lost
            for message_id, text in run.said.items():
                if not run.lost:
                    assert shown[message_id].content == text, "what was received before the end is shown"
                elif message_id in shown:
                    assert text.startswith(shown[message_id].content)


_MORE = int(os.environ.get("MACHINE_EXAMPLES", "0"))
"""So many new histories instead of always the same few: ``MACHINE_EXAMPLES=5000 make test``."""


def _settings(examples: int, steps: int) -> settings:
    return settings(
        max_examples=_MORE or examples,
        stateful_step_count=steps,
        derandomize=not _MORE,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


TestBuffer = BufferMachine.TestCase
TestBuffer.settings = _settings(150, 40)
TestLog = LogMachine.TestCase
TestLog.settings = _settings(100, 30)
TestSession = SessionMachine.TestCase
TestSession.settings = _settings(300, 40)

"""One streaming run of a conversation: from the runner's events to the log, at the session's pace."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from app.errors import ColloquyError, InvalidState, MessageTooLong, RunError, RunnerLost
from app.protocol.commands import ControlAck, StopAck
from app.protocol.common import Status, Usage
from app.protocol.events import (
    Event,
    InputRequest,
    MessageDelta,
    MessageReset,
)
from app.runner.wire import Answer, OnAbandoned, StartRun
from app.streaming.budgets import Spending, total
from app.streaming.buffer import BufferClosed, BufferFull
from app.streaming.config import StreamingConfig
from app.streaming.conversation import Conversation
from app.streaming.feed import Ending, Item, join_frames
from app.streaming.inputs import Inputs
from app.streaming.metrics import SessionMetrics
from app.streaming.narration import Narration
from app.streaming.outlet import Chunk, Outlet
from app.streaming.ports import Clock, Concurrency, Runners
from app.streaming.run_link import RunLink
from app.streaming.serial import Serial
from app.streaming.session_events import runner_died, still_working
from app.streaming.states import RUNNING, SESSION_VIEW, TERMINAL

logger = logging.getLogger(__name__)

_SILENCE_S = 1.4  # looked at twice a second, so that the room hears every 2 s that a silent team still works


class StreamingSession:
    """A producer (the run in its runner) and a consumer (a background greenlet that feeds the log).

    The runner may be ahead by at most the buffer's high-water mark: it spends grants, and gets new ones when the buffer
    has drained to the low-water mark. So pausing the consumer soon stops the reading from the model, too.

    Commands (:meth:`pause`, :meth:`resume`, :meth:`stop`, :meth:`abort`) are carried out one after the other and block
    their caller until the runner has confirmed. Safe to use from several threads or greenlets.
    """

    def __init__(
        self,
        session_id: str,
        conversation: Conversation,
        run: StartRun,
        *,
        config: StreamingConfig,
        runners: Runners,
        concurrency: Concurrency,
        clock: Clock,
        max_restarts: int = 2,
        max_message_chars: int = 67_108_864,
        input_timeout_s: float = 0.0,
        save_checkpoint: Callable[[str, dict[str, Any]], None] | None = None,
        save_artifact: Callable[[str, str, str, bytes], None] | None = None,
        openings: Sequence[Event] = (),
        when_ended: Callable[[StreamingSession], None] | None = None,
    ) -> None:
        """
        :param input_timeout_s: so long its agents wait for a person; 0: as long as it takes.
        :param save_checkpoint: takes the run's state when everything that led to it is in the log.
        :param save_artifact: takes what is too large for an event: conversation, its id, media type, data.
        :param openings: what the room is told in the place of the user's words, where a run goes on.
        :param when_ended: called once, when the room has been told of the end; must not wait.
        """
        self.id = session_id
        self.conversation = conversation
        self.config = config
        self.metrics = SessionMetrics(started_at=clock.monotonic())
        self.last_event_at = clock.monotonic()
        self._save_checkpoint = save_checkpoint
        self._save_artifact = save_artifact
        self._openings = openings
        self._when_ended = when_ended
        self._clock = clock
        self._max_restarts = max_restarts
        self._max_message_chars = max_message_chars
        self._outlet = Outlet(config, concurrency, clock, self._hand_on, lambda: self._link.grant())
        self._link = RunLink(run, runners, config, self._outlet.buffer)
        self._narration = Narration(conversation, lambda: self._link.request)
        self.inputs = Inputs(conversation, session_id, concurrency, clock, input_timeout_s, self._tell_run)
        self._concurrency = concurrency
        self._commands = Serial(concurrency.condition)
        self._changed = concurrency.condition()  # guards _result and _spending
        self.started_at = clock.monotonic()
        self.paused_for_absence = False
        self._opened = False
        self._begun = False  # the room is open, and the consumer at work
        self._launchable = False  # a launch found the session paused: resume launches
        self._ending: Ending | None = None  # decided on our side; wins over what the run says
        self._finishing = False
        self._result: Ending | None = None
        self._spending: Spending | None = None
        self._counted = self._counted_before = 0  # tokens of a metered run; of those whose runner died
        self._said_at = clock.monotonic()

    # --- life ---------------------------------------------------------------------------------------------------------

    @property
    def run_request(self) -> StartRun:
        """What the present run was, or will be, started with."""
        return self._link.request

    @property
    def status(self) -> Status:
        """The conversation's status, which this session drives while it runs."""
        return self._result.status if self._result else self.conversation.status

    @property
    def reached(self) -> Status:
        """The status for an answer: a session that is about to begin is initializing already."""
        return self.status if self._opened or self._result else Status.INITIALIZING

    @property
    def ended(self) -> bool:
        """True from the moment that the log holds the terminal status, so that who hears it may start the next."""
        return self._result is not None or (self._finishing and self.conversation.status in TERMINAL)

    def open_room(self) -> bool:
        """Log `initializing` and the user's words, and begin to consume.

        :returns: False, and does nothing, if it was opened or aborted before.
        """
        return self._commands.run(self._open_room)

    def _open_room(self) -> bool:
        if self.ended or self._opened:
            return False
        self._opened = True
        self._narration.begin(self._openings)
        self._begun = True
        self._concurrency.spawn(self._consume)
        return True

    def launch(self, run: StartRun | None = None, spending: Spending | None = None) -> None:
        """Start the run in a runner, unless the session has ended or is paused meanwhile (then resume starts it).

        :param spending: the account that a metered run spends from.
        """

        def begin() -> None:
            if run is not None:
                self._link.order(run)
            with self._changed:
                self._spending = spending
                over = self._result is not None
            if over and spending is not None:
                spending.end(0)
            self._start_run()

        self._commands.run(begin)

    def _start_run(self) -> None:
        if self._ending is not None or self.ended:
            return
        self._launchable = self._outlet.held
        if self._launchable:
            return
        try:
            self._link.start(self)
        except RunError as error:
            self._end(Ending(Status.ERROR, self._estimate(), error))
        except Exception:
            logger.exception("the run of session %s could not be started", self.id)
            failed = RunError("the run could not be started; the server's log says why")
            self._end(Ending(Status.ERROR, self._estimate(), failed))
        else:
            self._outlet.wake()  # it may have spoken already, and wait for a grant

    def pause(self) -> ControlAck:
        """Stop taking tokens, here and at the model.

        :raises InvalidState: when the session is not running.
        """

        def close_gate() -> ControlAck:
            self._require(Status.INITIALIZING, Status.ACTIVE)
            self.touch()
            self._outlet.hold()
            self.inputs.hold()
            try:
                self._link.pause()
                self._narration.move_to(Status.PAUSED)
            except RunnerLost:  # the recovery that is under way finds the session paused
                self._narration.move_to(Status.PAUSED)
            except InvalidState:
                self._outlet.release()
                self.inputs.release()
                raise
            return self._ack()

        return self._commands.run(close_gate)

    def resume(self) -> ControlAck:
        """Go on with the next token.

        :raises InvalidState: when the session is not paused.
        """

        def open_gate() -> ControlAck:
            self._require(Status.PAUSED)
            self._narration.move_to(Status.ACTIVE)
            self._outlet.release()
            self.inputs.release()
            self.paused_for_absence = False
            self.touch()
            if self._launchable:
                self._start_run()
            else:
                self._link.resume()
            return self._ack()

        return self._commands.run(open_gate)

    def stop(self, reason: str | None = None) -> StopAck:
        """End the run; return when the model's HTTP request is closed and everything received is logged.

        :param reason: a sentence for a person, where nobody asked for it.
        :raises InvalidState: when the session is not running.
        """

        def end() -> StopAck:
            self._require(*RUNNING)
            self._close(Ending(Status.STOPPED, reason=reason))
            result = self._await_end()
            if result.status is not Status.STOPPED:  # it was ending by itself when the stop came
                raise InvalidState(f"the conversation is {result.status} already")
            return StopAck(**self._ack().model_dump(), tokens=result.usage)

        return self._commands.run(end)

    def abandon(self, rule: OnAbandoned) -> None:
        """Nobody watches: stop or pause, as the team's rule says; no error where that is no longer possible."""
        try:
            if rule.action == "stop":
                self.stop(f"nobody had watched for {rule.after_s:g} s")
            elif self.status in (Status.INITIALIZING, Status.ACTIVE):
                self.pause()
                self.paused_for_absence = True
        except (InvalidState, RunnerLost):
            pass

    def return_from_absence(self) -> None:
        """Somebody watches again: go on, if the pause was only for that."""
        if not self.paused_for_absence:
            return
        try:
            self.resume()
        except (InvalidState, RunnerLost):
            self.paused_for_absence = False

    def abort(self, error: ColloquyError) -> None:
        """End the run with an error; no error if it has ended already."""

        def end() -> None:
            if self.ended:
                return
            ending = Ending(Status.ERROR, error=error)
            if not self._begun:  # nothing was logged, and nobody consumes
                self._settle(ending)
                return
            self._close(ending)
            self._await_end()

        self._commands.run(end)

    def _close(self, ending: Ending) -> None:
        self._ending = ending
        self._outlet.hurry()
        self._end(replace(ending, usage=self._link.stop() or self._estimate()))

    def _estimate(self) -> Usage:
        """What is known without the run: the finished messages, and what came of the others."""
        said, received = self._link.history.spent, self.metrics.tokens_received
        return Usage(
            prompt_tokens=said.prompt_tokens,
            completion_tokens=max(received, said.completion_tokens),
            estimated=received > 0,
            cost_usd=said.cost_usd,
        )

    def _require(self, *wanted: Status) -> None:
        if self.ended or self.status not in wanted:
            words = " or ".join(wanted)
            raise InvalidState(f"the conversation is {self.status}, not {words}")

    def _ack(self) -> ControlAck:
        return ControlAck(conversation_id=self.conversation.id, session_id=self.id, status=self.status)

    # --- producer: the run's news, through its sink -------------------------------------------------------------------

    def feed(self, name: str, payload: dict[str, Any], tokens: int, demo: bool) -> None:
        """Take one event of the run. Does not block."""
        self.touch()
        self._link.history.note(name, payload)
        if name == InputRequest.name:
            self.inputs.coming(payload["request_id"])
        item = Item((name, payload, demo), self._clock.monotonic())
        deltas = tokens if name == MessageDelta.name else 0  # other events may go ahead of their grant: they must fit
        self.metrics.tokens_received += deltas
        try:
            if not deltas or not self._pass_at_once(item, deltas):
                self._outlet.put(item, deltas)
        except BufferClosed:
            return
        except (BufferFull, ValueError):  # the runner has broken its word: what it may send always fits
            self._link.cut()  # what follows would be shown without this
            self._concurrency.spawn(self.abort, RunError("the runner sent more than it was granted"))
        if self._link.history.longest_open > self._max_message_chars:
            self._too_long()
        self._link.count(tokens)
        if not len(self._outlet.buffer):
            self._link.grant()

    def _pass_at_once(self, item: Item, tokens: int) -> bool:
        """A word that nothing waits before goes to the room in the task that has read it: most do."""
        if self.conversation.status is not Status.ACTIVE:
            return False
        try:
            return self._outlet.pass_at_once(item, tokens)
        except Exception:
            logger.exception("session %s broke", self.id)
            self._concurrency.spawn(self._break_off)
            return True

    def _too_long(self) -> None:
        self._link.cut()
        limit = f"{self._max_message_chars:,} characters"
        self._concurrency.spawn(self.abort, MessageTooLong(f"a message grew beyond {limit}; what came is kept"))

    def hand_over(self, artifact_id: str, media_type: str, data: bytes) -> None:
        """Have an artifact written: now, for the event that names it comes behind it."""
        self.touch()
        if self._save_artifact is not None:
            self._save_artifact(self.conversation.id, artifact_id, media_type, data)

    def count_spending(self, tokens: int, wanted: int) -> None:
        """What a metered run has spent, and wants to: say how much it may. Does not block."""
        self.touch()
        if self._spending is not None:
            self._counted = self._counted_before + tokens
            self._link.allow(self._spending.note(self._counted, wanted) - self._counted_before, wanted)

    def keep(self, checkpoint: dict[str, Any]) -> None:
        """Keep the run's state at the end of a turn, to resume from.

        Another runner may have it at once: what waits here still leaves. What outlives this process must not run ahead
        of the log, so it is saved behind all that waits: who goes on from it after a crash has lost nothing unseen.
        """
        self._link.history.keep(checkpoint)
        with suppress(BufferClosed):
            self._outlet.put(Item(None, self._clock.monotonic(), checkpoint=checkpoint), 0)

    def ran_out(self, ending: Ending) -> None:
        """The run is over."""
        self.touch()
        self._end(replace(ending, usage=ending.usage + self._link.spent_before))

    def runner_lost(self) -> None:
        """The runner died: resume in another one, from the last finished turn."""
        self._link.lost()
        if self._ending is None and not self.ended:
            self._concurrency.spawn(self._recover)

    def _recover(self) -> None:
        self._commands.run(self._go_on_elsewhere)

    def _go_on_elsewhere(self) -> None:
        if self._ending is not None or self.ended:
            return
        history = self._link.history
        if history.outcome is not None:  # it was only about to say that it has ended
            self._end(Ending(Status.COMPLETED, history.outcome + self._link.spent_before))
            return
        self._link.spent_before = self._estimate()
        self._counted_before = self._counted
        if self.metrics.runner_restarts >= self._max_restarts:
            lost = RunnerLost("the agent process died, and again after it was replaced")
            self._end(Ending(Status.ERROR, self._link.spent_before, lost))
            return
        self.metrics.runner_restarts += 1
        self.inputs.withdraw()  # it is asked again, by the next run
        self._outlet.flush()
        demo, told = self.conversation.demo, runner_died(in_the_middle=bool(history.checkpoint))
        if self._outlet.held:  # an error overtakes what a pause holds back
            self.conversation.append_event(told)
        else:
            self.feed(told.name, told.to_wire(), 0, demo)
        for message_id, agent in history.withdrawn():
            reset = MessageReset(message_id=message_id, agent=agent, reason=RunnerLost.code)
            self.feed(reset.name, reset.to_wire(), 0, demo)
        self._outlet.between_steps(self._link.count_anew)
        self._link.request_next()
        self._start_run()

    # --- consumer -----------------------------------------------------------------------------------------------------

    def _consume(self) -> None:
        try:
            self._outlet.run()
        except Exception:
            logger.exception("session %s broke", self.id)
            self._break_off()

    def _break_off(self) -> None:
        self._link.cut()
        self._outlet.buffer.close()
        self._ending = Ending(Status.ERROR, error=RunError("the session broke; the server's log says why"))
        if not self.ended:
            self._finish(Ending(Status.ERROR, self._estimate()))
        self._link.stop()

    def _hand_on(self, chunk: Chunk, now: float) -> None:
        self.touch()
        frames, ends = join_frames((item for item, _ in chunk), cut_short=self._ending is not None)
        frames = self.inputs.pass_on(frames)
        deltas = sum(payload["tokens"] for name, payload, _ in frames if name == MessageDelta.name)
        self._narration.tell(frames)
        self._save_last([item.checkpoint for item, _ in chunk if item.checkpoint is not None])
        self.metrics.delivered(deltas, len(frames), max(0.0, now - chunk[0][0].came_at), now)
        self._said_at = now
        if ends is not None:
            self._finish(ends)
        else:
            self._link.grant()

    def _save_last(self, checkpoints: list[dict[str, Any]]) -> None:
        if not checkpoints or self._save_checkpoint is None:
            return
        try:
            self._save_checkpoint(self.conversation.id, checkpoints[-1])
        except Exception:  # the run is worth more than the chance to repeat it
            logger.exception("the state of session %s was not kept", self.id)

    def _end(self, ending: Ending) -> None:
        """Put the end behind whatever waits in the buffer; only the first end counts."""
        if self._result is not None or self._outlet.buffer.closed:
            return
        self._link.cut()
        if ending.status is not Status.COMPLETED:
            self._outlet.hurry()
        self._outlet.end(ending)

    def _finish(self, ending: Ending) -> None:
        if (
            self._narration.complete and not ending.said
        ):  # it is over for those who watch: an end from our side comes too late
            ending = Ending(Status.COMPLETED, ending.usage)
        elif self._ending is not None:  # our own decision wins over what the run says
            ending = replace(self._ending, usage=ending.usage)
        self._finishing = True
        try:
            self.inputs.withdraw()
            self._narration.end(ending)
        except Exception:
            logger.exception("the end of session %s could not be logged", self.id)
        finally:
            self._settle(ending)

    def _settle(self, ending: Ending) -> None:
        with self._changed:
            self._result = ending
            spending = self._spending
            self._changed.notify_all()
        if spending is not None:
            spending.end(max(self._counted, total(ending.usage)))
        self._outlet.over()
        if self._when_ended is not None:
            self._when_ended(self)

    def _await_end(self) -> Ending:
        with self._changed:
            self._changed.wait_for(lambda: self._result is not None)
        assert self._result is not None
        return self._result

    # --- small ones ---------------------------------------------------------------------------------------------------

    def touch(self) -> None:
        """Note that something happened, for the session's timeout."""
        self.last_event_at = self._clock.monotonic()

    def say_still_working(self, now: float) -> None:
        """Tell the room of a silent team that it is not hung."""
        if self.ended or self._outlet.held or now - self._said_at < _SILENCE_S or self.status not in RUNNING:
            return
        self._said_at = now
        silent_s, waiting_for = now - self.last_event_at, self.inputs.waiting_for
        working = still_working(self.conversation.id, self.conversation.fold, silent_s, waiting_for)
        self.conversation.announce_to_all(working)

    def _tell_run(self, answer: Answer) -> None:
        self.touch()
        self._link.answer(answer)

    @property
    def tokens_dropped(self) -> int:
        """Tokens that came and were not handed on, once the session has ended: always 0."""
        return self.metrics.tokens_received - self.metrics.tokens_delivered if self.ended else 0

    def describe(self, now: float) -> dict[str, Any]:
        """The session and its figures, as ``GET /api/websocket/sessions`` shows them."""
        return {
            "session_id": self.id,
            "conversation_id": self.conversation.id,
            "team": self.run_request.team.name,
            "status": self.status,
            "state": SESSION_VIEW[self.status],
            "demo": self.conversation.demo,
            "watchers": self.conversation.watchers,
            "offset": self.conversation.log.offset,
            "metrics": self.metrics.figures(now, self._outlet.buffer, self.tokens_dropped),
        }

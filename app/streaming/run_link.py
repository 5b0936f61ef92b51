"""A session's end of the link to its runs: one run, and the next one when its runner has died."""

from __future__ import annotations

from app.errors import RunnerLost
from app.protocol.common import Usage
from app.runner.wire import Answer, StartRun
from app.streaming.buffer import TokenBuffer
from app.streaming.config import StreamingConfig
from app.streaming.feed import NO_USAGE, Hearer, Item, SessionSink
from app.streaming.history import RunHistory
from app.streaming.ports import RunHandle, Runners


class RunLink:
    """Starts runs, steers them, and counts their credit: a run may be ahead by at most the buffer's high-water mark.

    Belongs to its session. Where a command needs a runner and there is none, it does nothing.
    """

    def __init__(self, run: StartRun, runners: Runners, config: StreamingConfig, buffer: TokenBuffer[Item]) -> None:
        self.request = run
        self._max_tokens = run.max_tokens
        self.history = RunHistory(run.checkpoint if run.resumed else None)
        self.spent_before = NO_USAGE  # by runs whose runner died
        self._runners = runners
        self._high, self._low = config.high_water_tokens, config.low_water_tokens
        self._buffer = buffer
        self._handle: RunHandle | None = None
        self._sink: SessionSink | None = None
        self._received = 0  # tokens of the present run …
        self._allowed = run.allowed  # … and how many it may send in all

    def order(self, run: StartRun) -> None:
        """Request this run, before the first start.

        What it begins with is its state only where nothing new was said since: a state from before the user's words,
        handed to another runner with the word that all was said, would leave those words unanswered.
        """
        self.request = run
        self._max_tokens = run.max_tokens
        self.history = RunHistory(run.checkpoint if run.resumed else None)

    def start(self, hearer: Hearer) -> None:
        """Start the run that is requested.

        :raises RunError: when no runner can be had.
        """
        self._sink = SessionSink(hearer)
        self._handle = self._runners.start(self.request, self._sink)

    def cut(self) -> None:
        """Hear nothing more of the present run."""
        if self._sink is not None:
            self._sink.cut()

    def lost(self) -> None:
        """The runner is gone: there is nobody to steer."""
        self._handle = None

    def pause(self) -> None:
        """:raises RunnerLost: when the runner is gone; its sink hears of it, too."""
        if self._handle is not None:
            self._handle.pause()

    def resume(self) -> None:
        """Open the gate again, where there is one: a dead runner's sink has been told, and recovers."""
        if self._handle is not None:
            try:
                self._handle.resume()
            except RunnerLost:
                pass

    def answer(self, answer: Answer) -> None:
        """Tell the run what a person has answered; a run that is no more asks again. Does not wait."""
        if self._handle is not None:
            self._handle.answer(answer)

    def stop(self) -> Usage | None:
        """Return when the model's requests are closed, with all that was spent; None where nobody can tell."""
        if self._handle is None:
            return None
        try:
            return self._handle.stop() + self.spent_before
        except RunnerLost:
            return None

    def allow(self, allowed: int, wanted: int) -> None:
        """Answer what a metered run has told of its spending."""
        if self._handle is not None:
            self._handle.allow(allowed, wanted)

    # --- credit -------------------------------------------------------------------------------------------------------

    def count(self, tokens: int) -> None:
        """Note what has come, after it was buffered: a grant in between is then too small, never too large."""
        self._received += tokens

    def grant(self) -> None:
        """Allow the run more, if the buffer has drained."""
        handle, buffer = self._handle, self._buffer
        if handle is None or not buffer.inlet_open or buffer.tokens > self._low:
            return
        received = self._received  # before the fill: what comes in between makes the grant smaller
        if self._allowed - received <= self._high // 2:
            self._allowed = received + self._high - buffer.tokens
            handle.grant(self._allowed)

    def count_anew(self) -> None:
        """Request the next run from where the last one was: call it while nothing enters or leaves the buffer."""
        self._received = 0
        self._allowed = max(1, self._high - self._buffer.tokens)

    def request_next(self) -> None:
        """Make the order for another runner, from the last checkpoint or the transcript so far."""
        left = self._max_tokens
        if left is not None:
            left = max(0, left - self.spent_before.prompt_tokens - self.spent_before.completion_tokens)
        self.request = self.history.resume(self.request, self._allowed).model_copy(update={"max_tokens": left})

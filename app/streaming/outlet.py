"""The consuming half of a session: what waits in the buffer leaves at the session's pace."""

from __future__ import annotations

from collections.abc import Callable

from app.streaming.buffer import BufferClosed, TokenBuffer
from app.streaming.config import StreamingConfig
from app.streaming.feed import Ending, Item, cut_item
from app.streaming.pacer import Pacer
from app.streaming.ports import Clock, Concurrency
from app.streaming.serial import Serial

_FRAME_S = 0.05  # with a backlog, a paced session sends about this many seconds' worth of tokens in one frame

Chunk = list[tuple[Item, int]]


class Outlet:
    """Buffer and pace. :meth:`run` is for a background greenlet; everything else may be called from anywhere.

    :param hand_on: takes a chunk of items (with their tokens) and the clock's reading; one call at a time.
    :param idle: called when everything has been handed on.
    """

    def __init__(
        self,
        config: StreamingConfig,
        concurrency: Concurrency,
        clock: Clock,
        hand_on: Callable[[Chunk, float], None],
        idle: Callable[[], None],
    ) -> None:
        self.buffer: TokenBuffer[Item] = TokenBuffer(
            config.buffer_tokens, config.high_water_tokens, config.low_water_tokens, concurrency.condition
        )
        self._config = config
        self._pacer = Pacer(config.tokens_per_s, clock.monotonic())
        self._clock = clock
        self._hand_on = hand_on
        self._idle = idle
        self._steps = Serial(concurrency.condition)
        self._changed = concurrency.condition()  # guards _woken and _over
        self._woken = False
        self._over = False
        self._held = False  # nothing leaves …
        self._urgent = False  # … unless the session ends: then everything, at once
        self._flush = False  # what is in the buffer leaves whatever the pace, but not while held

    def put(self, item: Item, tokens: int) -> None:
        """Append an item; does not block.

        :raises BufferClosed, BufferFull, ValueError: see :meth:`TokenBuffer.put`.
        """
        self.buffer.put(item, tokens, block=False)
        self.wake()

    def pass_at_once(self, item: Item, tokens: int) -> bool:
        """Hand an item on in the caller's task, if nothing waits before it and the pace allows; else put it."""

        def passes() -> bool:
            now = self._clock.monotonic()
            if self._held or self._over or len(self.buffer) or self.buffer.closed or tokens > self.buffer.capacity:
                return False
            allowed = self._pacer.available(now)
            if allowed is not None and tokens > allowed:
                return False
            self._pacer.take(tokens)
            self._hand_on([(item, tokens)], now)
            return True

        return self._steps.attempt(passes)

    def end(self, ending: Ending) -> bool:
        """Put the end behind whatever waits, and take nothing more; False if there was an end already."""
        try:
            self.buffer.put(Item(None, self._clock.monotonic(), ending), 0, block=False)
        except BufferClosed:
            return False
        self.buffer.close()
        self.wake()
        return True

    @property
    def held(self) -> bool:
        return self._held

    def hold(self) -> None:
        """Let nothing leave. Returns when what was on its way has arrived."""
        self._held = True
        self._steps.run(lambda: None)

    def release(self) -> None:
        """Go on."""
        self._held = False
        self.wake()

    def flush(self) -> None:
        """Let leave what is inside now, whatever the pace."""
        self._flush = True
        self.wake()

    def hurry(self) -> None:
        """Let everything leave at once from now on, held or not: the session ends."""
        self._urgent = True
        self.wake()

    def between_steps(self, function: Callable[[], None]) -> None:
        """Run something while nothing is handed on."""
        self._steps.run(function)

    def over(self) -> None:
        """End :meth:`run`."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def wake(self) -> None:
        """Look again."""
        if self._woken:  # it is about to look: what came before this call is seen
            return
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def run(self) -> None:
        """Hand on until :meth:`over`."""
        while not self._over:
            wait_s = self._steps.run(lambda: self.step(self._clock.monotonic()))
            with self._changed:
                if not self._woken and not self._over:
                    self._changed.wait(wait_s)
                self._woken = False

    def step(self, now: float) -> float | None:
        """Hand on what the pace allows.

        :param now: the clock's reading.
        :returns: seconds after which there is more to do; None: when something happens.
        """
        while not self._over:
            if self._held and not self._urgent:
                return None
            allowed = None if self._flush or self._urgent else self._pacer.available(now)
            waiting = self.buffer.tokens or min(1, len(self.buffer))  # what is no token waits for the debt, too
            if allowed is not None and waiting > allowed:
                batch = min(waiting, max(1, int(self._config.tokens_per_s * _FRAME_S)))
                if allowed < batch:
                    return self._pacer.delay_s(batch)
            chunk = self.buffer.get_chunk(allowed, cut=cut_item)
            if not chunk:
                self._flush = False
                self._idle()
                return None
            self._pacer.take(sum(tokens for _, tokens in chunk))
            self._hand_on(chunk, now)
        return None

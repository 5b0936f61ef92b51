"""A model that fails, in each way that there is: when is its watcher told? And how soon comes a good one's first token?

The clock of a failure begins when it can be seen: with the start command, and in mid-stream with the model's death or
its last token, by the model's own clock. It ends when the event is at the watcher. Of the conversations of one kind,
which start at once, the slowest counts.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.protocol.commands import StopStream
from app.protocol.events import ConversationComplete, ConversationError, FallbackMode
from benchmarks.cases import Measured, Options
from benchmarks.client import Arrivals, Channel
from benchmarks.figures import Figure, percentile
from benchmarks.targets import Target, make_target
from tests.support.model_server import ModelServer

NAME = "fallback"
TITLE = "from a model's failure to the watcher who is told of it, and from a start to the first token"
AT_ONCE = 3  # conversations of each kind of failure
WARM_UPS = 3
WARM_UP_S = 1.0
LIMIT_S = 5.0  # who was told nothing by then never is
SETTLE_S = 0.25  # kinds take turns; one that takes longer is waited for beside the next
TARGET_MS = 2_000.0
TOKENS_BEFORE = 5
TOKEN_DELAY_MS = 20.0
SLOW_MS = 3_000.0
REFUSED = "refused connection"
DIES, FALLS_SILENT = {"die_after_tokens": TOKENS_BEFORE}, {"silent_after_tokens": TOKENS_BEFORE}
UNREACHABLE = {"models_silent": True}  # a probe gets no answer either
KINDS: dict[str, dict[str, Any]] = {
    "401": {"status": 401},
    "404": {"status": 404},
    "429, Retry-After: 20": {"status": 429, "retry_after_s": 20},
    "500": {"status": 500},
    "dies in mid-stream (reset)": DIES | {"death": "reset"},
    "dies in mid-stream (eof)": DIES | {"death": "eof"},
    "silent, unreachable": UNREACHABLE | {"silent": True},
    "silent in mid-stream, unreachable": UNREACHABLE | FALLS_SILENT,
}
TELLS = {"colloquy": FallbackMode.name, "plain": ConversationError.name}
FIGURES = (
    *(Figure(kind, "ms", target=TARGET_MS, worst=True) for kind in (REFUSED, *KINDS)),
    Figure("failures never told in 5 s", "count", target=0, worst=True),
    Figure("of them told as a reply that is complete", "count", target=0, worst=True),
    Figure("first token after 3 s: left for it", "count", target=0, worst=True),
    Figure("first token p50", "ms"),
    Figure("first token max", "ms", worst=True),
    Figure("of it until the model is asked, p50", "ms"),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One conversation, and by which event it was told how it stands with its model."""

    tag: str
    channel: Channel
    conversation_id: str
    sent_s: float
    told: asyncio.Future[tuple[str, float]]

    async def end(self) -> None:
        """Stop it, if that was not done yet."""
        if self.channel.closed:
            return
        await self.channel.call(StopStream.name, {"conversation_id": self.conversation_id})
        self.channel.close()


def measure(target_name: str, options: Options) -> Measured:
    """One round: a server whose model fails in each way, and one at whose model's port nobody listens at first."""
    with ModelServer() as model, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        target = make_target(target_name, model.url, "scripted")
        other = make_target(target_name, f"http://127.0.0.1:{nobody.getsockname()[1]}/v1", "scripted")
        with target.process, other.process:
            return asyncio.run(_measure(target, model, other, nobody, options.starts))


async def _measure(target: Target, model: ModelServer, other: Target, nobody: socket.socket, starts: int) -> Measured:
    await _settle(await _begin(other, "warm-up"), WARM_UP_S)  # its imports are a load for the rest
    values = await _first_tokens(target, model, starts)
    trials = {REFUSED: await _begin(other, REFUSED)}
    await _settle(trials[REFUSED])
    late = ModelServer(nobody.getsockname()[1])
    nobody.close()
    with late:  # from here on somebody listens there: a model that lives, and is slow
        await _behave(late, first_token_delay_ms=SLOW_MS)
        slow = [asyncio.create_task(_is_left(trial)) for trial in await _begin(other, "slow")]
        for kind, behaviour in KINDS.items():
            await _behave(model, **behaviour)
            trials[kind] = await _begin(target, kind)
            await asyncio.to_thread(_wait_until_asked, model, trials[kind])
            await _settle(trials[kind])
        everyone = [trial for of_kind in trials.values() for trial in of_kind]
        last_s = max(trial.sent_s for trial in everyone) + LIMIT_S
        await asyncio.wait([trial.told for trial in everyone], timeout=last_s - time.monotonic())
        values["first token after 3 s: left for it"] = float(sum(await asyncio.gather(*slow)))
    told, notes = _told_figures(TELLS[target.name], trials, (await asyncio.to_thread(model.stats))["requests"])
    for trial in everyone:
        await trial.end()
    if target.name == "plain":
        notes += ("first token: its sockets wait for ACKs (Nagle), as Flask-SocketIO leaves them; see the README",)
    return Measured(told | values, notes)


async def _behave(model: ModelServer, **behaviour: Any) -> None:
    """From the next request on."""
    await asyncio.to_thread(model.control, reset=True, markers=True, token_delay_ms=TOKEN_DELAY_MS, **behaviour)


async def _begin(target: Target, kind: str) -> list[Trial]:
    return list(await asyncio.gather(*(_start(target, f"{kind}/{number}") for number in range(AT_ONCE))))


async def _start(target: Target, tag: str) -> Trial:
    channel = await Channel.connect(target.port)
    told: asyncio.Future[tuple[str, float]] = asyncio.get_running_loop().create_future()

    def note(name: str, payload: dict[str, Any]) -> None:
        if name in (TELLS[target.name], ConversationComplete.name) and not told.done():
            told.set_result((name, time.monotonic()))

    channel.on_event = note
    sent_s = time.monotonic()
    return Trial(tag, channel, await target.start(channel, _content(tag)), sent_s, told)


def _content(tag: str) -> str:
    return f"What will the market do? ({tag})"


def _wait_until_asked(model: ModelServer, trials: list[Trial]) -> None:
    """The behaviour may be changed when each of them has its request at the model."""

    def asked(stats: dict[str, Any]) -> bool:
        return all(_requests_of(trial.tag, stats["requests"]) for trial in trials)

    model.wait_for(asked, messages=True)


def _requests_of(tag: str, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [request for request in requests if _content(tag) in str(request["messages"])]


async def _settle(trials: list[Trial], timeout_s: float = SETTLE_S) -> None:
    """Give them a moment to be told, and end those that were: a demo that goes on is a load for the next."""
    await asyncio.wait([trial.told for trial in trials], timeout=timeout_s)
    await asyncio.gather(*(trial.end() for trial in trials if trial.told.done()))


def _told_figures(
    tells: str, trials: dict[str, list[Trial]], requests: Sequence[dict[str, Any]]
) -> tuple[dict[str, float | None], tuple[str, ...]]:
    values: dict[str, float | None] = {}
    silent: list[str] = []
    as_complete: list[str] = []
    for kind, of_kind in trials.items():
        took_ms = []
        for trial in of_kind:
            event, told_s = trial.told.result() if trial.told.done() else ("", 0.0)
            since_s = _visible_s(kind, trial, requests)
            if event == tells and told_s <= since_s + LIMIT_S:
                took_ms.append((told_s - since_s) * 1000)
            else:
                (as_complete if event == ConversationComplete.name else silent).append(kind)
        values[kind] = max(took_ms, default=None)
    values["failures never told in 5 s"] = float(len(silent) + len(as_complete))
    values["of them told as a reply that is complete"] = float(len(as_complete))
    notes = []
    if silent:
        notes.append(f"says nothing at all: {'; '.join(dict.fromkeys(silent))}")
    if as_complete:
        notes.append(f"says that the reply is complete: {'; '.join(dict.fromkeys(as_complete))}")
    return values, tuple(notes)


def _visible_s(kind: str, trial: Trial, requests: Sequence[dict[str, Any]]) -> float:
    """From when on the failure could be seen. A token's time is that of the model's schedule, so rather too early."""
    behaviour = KINDS.get(kind, {})
    if not behaviour.keys() & (DIES | FALLS_SILENT).keys():
        return trial.sent_s
    request = _requests_of(trial.tag, requests)[0]
    if request["tokens_sent"] != TOKENS_BEFORE:
        raise RuntimeError(f"{kind}: the model sent {request['tokens_sent']} tokens")
    if "death" in behaviour:
        return float(request["ended_s"])
    return float(request["first_token_s"]) + (TOKENS_BEFORE - 1) * TOKEN_DELAY_MS / 1000


async def _is_left(trial: Trial) -> bool:
    """Whether a fallback comes before the model's tokens. A TimeoutError where neither comes."""
    timeout_s = SLOW_MS / 1000 + LIMIT_S
    speaking = asyncio.ensure_future(trial.channel.wait_tokens(TOKENS_BEFORE, timeout_s=timeout_s))
    either: list[asyncio.Future[Any]] = [trial.told, speaking]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    left = trial.told.done()
    if left:
        speaking.cancel()
    else:
        await speaking
    await trial.end()
    return left


async def _first_tokens(target: Target, model: ModelServer, starts: int) -> dict[str, float | None]:
    """One conversation after the other, of a model that answers at once."""
    await _behave(model)
    token_ms, asked_ms = [], []
    for number in range(WARM_UPS + starts):
        arrivals, tag = Arrivals(), f"start-{number:03d}"
        channel = await Channel.connect(target.port, arrivals)
        sent_s = time.monotonic()
        conversation_id = await target.start(channel, _content(tag))
        await channel.wait_tokens(1)
        await channel.call(StopStream.name, {"conversation_id": conversation_id})
        channel.close()
        await asyncio.to_thread(model.wait_for, lambda stats: not stats["open"])
        if number >= WARM_UPS:
            requests = _requests_of(tag, (await asyncio.to_thread(model.stats))["requests"])
            token_ms.append(arrivals.received_us[0] / 1000 - sent_s * 1000)
            asked_ms.append((requests[0]["started_s"] - sent_s) * 1000)
    return {
        "first token p50": percentile(sorted(token_ms), 0.5),
        "first token max": max(token_ms),
        "of it until the model is asked, p50": percentile(sorted(asked_ms), 0.5),
    }

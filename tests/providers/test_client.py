"""The gated client over a scripted transport: what is joined, what is counted, what goes wrong."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from autogen_core.models import CreateResult, UserMessage

from app.errors import BackendUnavailable, ModelRejected
from app.providers.calls import Piece, Switch
from app.providers.client import GatedModelClient
from tests.providers.scripted import Body, Script, ScriptedRun, sse, until

ASK = [UserMessage(content="A question of mine.", source="user")]


class Caller(ScriptedRun):
    """Such a run with one client."""

    def __init__(self, script: Script, names: str = "a", allowed: int = 1000) -> None:
        super().__init__(script, names, allowed)
        self.client = GatedModelClient(self.run)

    async def stream(self) -> tuple[list[str], CreateResult]:
        """What a team sees of a call."""
        seen = [item async for item in self.client.create_stream(ASK)]
        assert isinstance(seen[-1], CreateResult)
        return [item for item in seen[:-1] if isinstance(item, str)], seen[-1]


async def test_deltas_of_one_read_are_one_piece() -> None:
    """Its tokens are counted; the team gets the same text in few pieces, the result whole."""
    words = [f"w{number} " for number in range(50)]
    events = sse({"role": "assistant", "content": ""}, *words)
    body = Body([b"".join(events[:3]), b"".join(events[3:33]), b"".join(events[33:])])
    caller = Caller(Script(body))
    chunks, result = await caller.stream()
    assert result.content == "".join(words) == "".join(chunks)
    pieces = [entry for entry in caller.entries if isinstance(entry, Piece)]
    assert "".join(piece.text for piece in pieces) == result.content
    assert sum(piece.tokens for piece in pieces) == 50
    assert len(pieces) < 8
    assert len(chunks) < 8
    assert body.closed
    usage = caller.run.usage()
    assert (usage.completion_tokens, usage.estimated) == (50, True)
    assert usage.prompt_tokens == len("A question of mine.") // 4 + 1


async def test_credit_bounds_a_piece() -> None:
    """Ten tokens allowed: ten are taken, the rest waits in the body."""
    body = Body([b"".join(sse(*"abcdefghijklmnopqrstuvwxyz"))])
    caller = Caller(Script(body), allowed=10)
    task = asyncio.create_task(caller.stream())
    await until(lambda: sum(entry.tokens for entry in caller.entries if isinstance(entry, Piece)) >= 10)
    for _ in range(50):
        await asyncio.sleep(0)
    assert "".join(entry.text for entry in caller.entries if isinstance(entry, Piece)) == "abcdefghij"
    caller.run.gate.grant(1000)
    assert (await task)[1].content == "abcdefghijklmnopqrstuvwxyz"


async def test_reasoning_is_no_part_of_the_message() -> None:
    """It is kept as the result's thought."""
    body = Body(sse({"content": None, "reasoning_content": "abc"}, {"content": None, "reasoning_content": "d"}, "yes"))
    chunks, result = await Caller(Script(body)).stream()
    assert chunks == ["yes"]
    assert result.content == "yes"
    assert result.thought == "abcd"


async def test_tool_calls_pass() -> None:
    """In their pieces, joined by AutoGen."""
    call = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}
    more = {"index": 0, "function": {"arguments": ":1}"}}
    _, result = await Caller(Script(Body(sse({"tool_calls": [call]}, {"tool_calls": [more]})))).stream()
    assert not isinstance(result.content, str)
    assert (result.content[0].name, result.content[0].arguments) == ("f", '{"a":1}')


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Body(sse("a", finish=None, done=False)), "model_broken"),
        (Body([*sse("a", finish=None, done=False), httpx2.RemoteProtocolError("cut")]), "model_broken"),
        (Body([b'data: {"error":{"message":"overloaded"}}\n\n']), "model_server_error"),
        (Body([]), "model_broken"),
        (httpx2.ConnectError("no"), "model_unreachable"),
        (httpx2.ReadError("no"), "model_broken"),
        (500, "model_server_error"),
        (401, "model_unauthorized"),
        (302, "model_unreachable"),
    ],
)
async def test_the_next_provider_answers(answer: Body | int | Exception, code: str) -> None:
    """And stays the one that answers; where none is left, the error tells the last one's code and no key."""
    caller = Caller(Script(answer, Body(sse("b")), Body(sse("c"))), names="xy")
    assert (await caller.stream())[1].content == "b"
    assert Switch("x", "y", code) in caller.entries
    assert (await caller.stream())[1].content == "c"
    assert caller.run.failure is None


async def test_none_is_left() -> None:
    """A typed error, which the run remembers."""
    caller = Caller(Script(401, 500), names="xy")
    with pytest.raises(BackendUnavailable) as caught:
        await caller.stream()
    assert caught.value.error_code == "model_server_error"
    assert caller.run.failure is caught.value
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("finish", ["content_filter"])
async def test_a_withheld_reply(finish: str) -> None:
    """The provider's policy is no reason to ask another."""
    caller = Caller(Script(Body(sse("a", finish=finish))), names="xy")
    with pytest.raises(ModelRejected) as caught:
        await caller.stream()
    assert caught.value.error_code == "content_refused"


async def test_a_bad_request_shows_no_key() -> None:
    """Though the provider's message quotes it."""
    with pytest.raises(ModelRejected) as caught:
        await Caller(Script(422)).stream()
    assert caught.value.error_code == "model_bad_request"
    assert "sk-secret" not in caught.value.message


@pytest.mark.parametrize("parts", [[], sse("a", finish=None, done=False)])
async def test_abort_closes_what_is_open(parts: list[bytes]) -> None:
    """In mid-stream or before: the body is closed when it returns, and no request can begin any more."""
    body = Body([*parts, None])
    caller = Caller(Script(body, Body(sse("b"))))
    task = asyncio.create_task(caller.stream())
    await until(lambda: body.taken >= len(parts) and caller.run.network.active_streams > 0)
    await caller.run.abort_all()
    assert body.closed
    with pytest.raises(asyncio.CancelledError):
        await task
    assert caller.run.network.active_streams == 0


async def test_abort_while_the_gate_is_closed_comes_to_its_end() -> None:
    """The reader hears of the abort at the gate and closes its connection; it was cancelled in the middle of that, then
    nobody heard of its end, and the stop was never answered."""

    class SlowToClose(Body):
        async def aclose(self) -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            self.closed = True

    body = SlowToClose([*sse("a", "b", "c", "d", finish=None, done=False), None])
    caller = Caller(Script(body), allowed=1)
    task = asyncio.create_task(caller.stream())
    await until(lambda: body.taken >= 1 and not caller.run.gate.is_open)
    for _ in range(10):
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await caller.run.abort_all()
    assert body.closed
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_the_caller_closes_its_request() -> None:
    """As a team does whose task is cancelled."""
    body = Body([None])
    caller = Caller(Script(body))
    task = asyncio.create_task(caller.stream())
    await until(lambda: caller.run.network.active_streams > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: body.closed)

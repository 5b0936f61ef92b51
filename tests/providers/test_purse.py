"""A run that has spent its tokens ends, before a request or within its reply."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from autogen_core.models import UserMessage

from app.errors import BudgetExhausted
from app.providers.calls import Piece
from app.providers.client import GatedModelClient
from app.providers.gate import RunAborted
from app.providers.purse import Purse
from tests.providers.scripted import Body, Script, ScriptedRun, sse, until

WORDS = [f"w{number} " for number in range(60)]


async def ask(caller: ScriptedRun) -> None:
    client = GatedModelClient(caller.run)
    async for _ in client.create_stream([UserMessage(content="x" * 40, source="user")]):  # ten tokens
        pass


def said(caller: ScriptedRun) -> str:
    return "".join(entry.text for entry in caller.entries if isinstance(entry, Piece))


async def test_a_reply_is_cut_off_where_the_tokens_end() -> None:
    """What was said is not lost, the request is closed, and nothing more is asked."""
    body = Body([*sse(*WORDS)[:40], None])
    caller = ScriptedRun(Script(body))
    caller.run.purse = Purse(limit=30)
    with pytest.raises(BudgetExhausted) as spent:
        await ask(caller)
    assert body.closed
    assert said(caller) == "".join(WORDS[:21])
    assert (spent.value.error_code, spent.value.retryable, caller.run.failure) == (
        "budget_exhausted",
        False,
        spent.value,
    )
    assert caller.run.tokens() == 31
    with pytest.raises(BudgetExhausted):
        await ask(caller)


async def test_a_prompt_that_does_not_fit_is_not_sent() -> None:
    """It costs nothing."""
    caller = ScriptedRun(Script())
    caller.run.purse = Purse(limit=9)
    with pytest.raises(BudgetExhausted):
        await ask(caller)
    assert caller.run.tokens() == 0


async def test_a_reply_that_fits_is_left_alone() -> None:
    """To the last token."""
    caller = ScriptedRun(Script(Body(sse(*WORDS[:20]))))
    caller.run.purse = Purse(limit=30)
    await ask(caller)
    assert said(caller) == "".join(WORDS[:20])


async def test_a_metered_run_asks_first_and_reports() -> None:
    """It waits for the word; what it reports on the way may be answered with the end."""
    told: list[tuple[int, int]] = []
    caller = ScriptedRun(Script(Body([*sse(*WORDS)[:50], None])))
    caller.run.purse = Purse(report=lambda tokens, wanted: told.append((tokens, wanted)))
    asking = asyncio.create_task(ask(caller))
    await until(lambda: told == [(0, 10)])
    caller.run.allow(100, 0)  # of an earlier report: no answer to this question
    await asyncio.sleep(0)
    assert not caller.run.network.transport.requests  # type: ignore[attr-defined]  # the script's
    caller.run.allow(100, 10)
    await until(lambda: len(said(caller).split()) == 50)
    assert [wanted for _, wanted in told[1:]] == [0] * (len(told) - 1)
    assert max(b - a for (a, _), (b, _) in itertools.pairwise(told)) <= 27
    caller.run.allow(59, 0)
    with pytest.raises(BudgetExhausted):
        await asking


async def test_who_is_refused_spends_nothing() -> None:
    """Nor is there a request."""
    caller = ScriptedRun(Script())
    caller.run.purse = Purse(report=lambda _, wanted: asyncio.get_running_loop().call_soon(caller.run.allow, 9, wanted))
    with pytest.raises(BudgetExhausted):
        await ask(caller)
    assert caller.run.tokens() == 0


async def test_a_stop_ends_the_wait_for_the_word() -> None:
    """Nobody may answer any more."""
    purse = Purse(report=lambda *_: None)
    waiting = asyncio.create_task(purse.admit(lambda: 0, 5))
    await asyncio.sleep(0)
    purse.abort()
    with pytest.raises(RunAborted):
        await waiting

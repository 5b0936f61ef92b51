"""Who speaks: AG2's stream events and questions do not say, so a context variable does."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any

from autogen import ConversableAgent, OpenAIWrapper

from app.providers.compat import Caller, calling

SELECTORS = frozenset({"checking_agent", "speaker_selection_agent"})
"""AG2's own agents that choose who is next: no participants."""

_MARK = "_names_its_speaker"


ADOPT: ContextVar[Callable[[OpenAIWrapper], bool] | None] = ContextVar("ADOPT", default=None)
"""Called with a wrapper before it asks its model; returns whether that is one that the team has brought."""

OWN_MODEL: ContextVar[bool] = ContextVar("OWN_MODEL", default=False)
"""Whether the model that is asked now is one that the team has brought."""


def name_speakers() -> None:
    """Let ``OpenAIWrapper.create``, ``ConversableAgent.get_human_input`` and its twin ``a_get_human_input`` name their
    agent, and tools that are coroutines know their run, although AG2 has each in a thread of its own.

    Once per process.
    """
    if hasattr(OpenAIWrapper, _MARK):
        return
    create, get_human_input = OpenAIWrapper.create, ConversableAgent.get_human_input
    a_get_human_input = ConversableAgent.a_get_human_input
    run_in_thread = ConversableAgent._run_async_in_thread

    @functools.wraps(create)
    def named_create(self: OpenAIWrapper, **config: Any) -> Any:
        adopt = ADOPT.get()
        own = OWN_MODEL.set(adopt is not None and adopt(self))
        try:
            with calling(_caller(self, config)):
                return create(self, **config)
        finally:
            OWN_MODEL.reset(own)

    @functools.wraps(get_human_input)
    def named_input(self: ConversableAgent, *args: Any, **named: Any) -> str:
        with calling(Caller(self.name)):
            return get_human_input(self, *args, **named)

    @functools.wraps(a_get_human_input)
    async def named_input_of_coroutine(self: ConversableAgent, *args: Any, **named: Any) -> str:
        with calling(Caller(self.name)):
            return await a_get_human_input(self, *args, **named)

    @functools.wraps(run_in_thread)
    def run_in_context(self: ConversableAgent, work: Coroutine[Any, Any, Any]) -> Any:
        context = copy_context()

        async def carry_out() -> Any:
            return await asyncio.get_running_loop().create_task(work, context=context)

        return run_in_thread(self, carry_out())  # type: ignore[no-untyped-call]  # AG2 has no types there

    OpenAIWrapper.create = named_create  # type: ignore[method-assign]  # it has no hook for this
    ConversableAgent.get_human_input = named_input  # type: ignore[method-assign]  # nor this
    ConversableAgent.a_get_human_input = named_input_of_coroutine  # type: ignore[method-assign]  # nor this
    ConversableAgent._run_async_in_thread = run_in_context  # type: ignore[method-assign]  # nor this
    setattr(OpenAIWrapper, _MARK, True)


def _caller(wrapper: OpenAIWrapper, config: dict[str, Any]) -> Caller:
    """Who asks. A reply that is wanted whole is not streamed; that to an order, a summary, is nobody's message."""
    name = str(getattr(config.get("agent"), "name", ""))
    messages: list[dict[str, Any]] = config.get("messages") or []
    ordered = len(messages) > 1 and messages[-1].get("role") == "system"
    streams = config.get("stream", wrapper._config_list[0].get("stream"))
    return Caller(name, speaks=bool(name and streams and not ordered and name not in SELECTORS))

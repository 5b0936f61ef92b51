"""What one run shares among all its model calls: gate, providers, open requests, tokens spent, last failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from app.errors import BackendUnavailable, BudgetExhausted, ColloquyError, ModelUnavailable
from app.protocol.common import Usage
from app.providers import circuits
from app.providers.calls import Call
from app.providers.exchange import Exchange
from app.providers.gate import Gate, RunAborted
from app.providers.network import Network
from app.providers.purse import Purse
from app.runner.wire import Limits, ProviderSpec

NO_PROVIDER = ProviderSpec(name="", kind="openai", model="")
"""Stands where none is configured: a team that brings its own models needs none."""


class ModelRun:
    """The models' side of one run.

    :param providers: in order of preference; a switch lasts for the rest of the run.
    :param purse: what it may spend; None: as much as it likes.
    """

    def __init__(
        self,
        network: Network,
        gate: Gate,
        limits: Limits,
        providers: Sequence[ProviderSpec],
        purse: Purse | None = None,
    ) -> None:
        self.network = network
        self.gate = gate
        self.limits = limits
        self.providers = tuple(providers)
        self.purse = purse or Purse()
        self.current = 0
        self.failure: ColloquyError | None = None
        self.on_change: Callable[[Call], None] = lambda call: None
        self._calls: list[Call] = []
        self._open: set[Exchange] = set()
        self._spent = Usage()
        self._aborted = False

    @property
    def spec(self) -> ProviderSpec:
        """The provider that answers now."""
        return self.providers[min(self.current, len(self.providers) - 1)] if self.providers else NO_PROVIDER

    @property
    def provider(self) -> str | None:
        """Its name; None: there is none."""
        return self.spec.name or None

    def prefer(self, provider: str | None) -> None:
        """Go on with the provider that the conversation had come to, where it is still there."""
        names = [spec.name for spec in self.providers]
        if provider in names:
            self.current = names.index(provider)

    @property
    def aborted(self) -> bool:
        return self._aborted

    def choose(self, call: Call) -> ProviderSpec:
        """The provider that is asked now. One that has failed too often is passed over, where another may answer.

        :raises BackendUnavailable: there is none at all.
        """
        if not self.providers:
            self.failure = BackendUnavailable("no model answers")
            raise self.failure
        known = self.network.circuits
        places = range(self.current, len(self.providers))
        place = next((each for each in places if known.of(self.providers[each]).admits), self.current)
        if place != self.current:
            passed_over = self.spec
            self.current = place
            call.switch(passed_over, self.spec, circuits.OPEN)
        known.of(self.spec).enter()
        return self.spec

    def usage(self) -> Usage:
        """Tokens spent so far, those of open requests included."""
        return sum((exchange.usage() for exchange in self._open), self._spent)

    def tokens(self) -> int:
        """The same, prompts and replies together."""
        opened = sum(sum(exchange.tokens()) for exchange in self._open)
        return self._spent.prompt_tokens + self._spent.completion_tokens + opened

    def count(self) -> None:
        """Something was spent: look whether there was so much to spend, and end the open requests if there was not."""
        if self.purse.bounded and (error := self.purse.note(self.tokens())) is not None:
            self._exhaust(error)

    def allow(self, allowed: int, wanted: int) -> None:
        """The web process's word on what it was told of this run's spending; see :meth:`Purse.allow`."""
        if (error := self.purse.allow(allowed, wanted, self.tokens())) is not None:
            self._exhaust(error)

    def _exhaust(self, error: BudgetExhausted) -> None:
        """End the open requests with this error."""
        self.failure = error
        for exchange in tuple(self._open):
            if not exchange.complete:
                exchange.kill(error)

    def open_call(self, agent: str, *, streams: bool, asked: str = "") -> Call:
        """Begin a call; the adapter hears of it and of each change through ``on_change``.

        :param asked: the last message of the request.

        :raises RunAborted: the run was stopped.
        """
        if self._aborted:
            raise RunAborted
        call = Call(self.gate, lambda changed: self.on_change(changed), agent=agent, streams=streams, asked=asked)
        self._calls.append(call)
        self.on_change(call)
        return call

    def unbound_call(self, agent: str, opening: str, *, lent: bool = False) -> Call | None:
        """The oldest streaming call of this agent that began with this text and belongs to no message yet.

        :param lent: the agent works within another one's turn, as its tool: AutoGen takes its calls for that one's.
        """
        for call in self._calls:
            mine = lent or call.agent in ("", agent)
            if mine and not call.bound and call.streams and call.opening == opening:
                return call
        return None

    def call_that_said(self, agent: str, text: str) -> Call | None:
        """The latest ended call of this agent with this whole reply; or of another one, whose tool the agent may be."""
        said = [call for call in reversed(self._calls) if call.ended and call.text == text]
        mine = (call for call in said if call.agent in ("", agent))
        return next(mine, None) or next((call for call in said if not call.bound), None)

    def forget_calls(self) -> None:
        """A turn has ended: give back what its calls had reserved and never sent."""
        for call in self._calls:
            call.discard()
        self._calls = [call for call in self._calls if not call.ended]

    def begin(self, exchange: Exchange) -> None:
        """Register an open request.

        :raises RunAborted: the run was stopped.
        """
        if self._aborted:
            raise RunAborted
        self._open.add(exchange)

    def end(self, exchange: Exchange) -> None:
        """The request's connection is closed or free again."""
        try:
            if exchange in self._open:
                self._open.discard(exchange)
                self._spent += exchange.usage()
                self._judge(exchange)
                self.count()
        finally:
            exchange.closed.set()

    async def abort_all(self) -> None:
        """Close every open request, also one that waits for its response head; returns when they are closed.

        No request can begin afterwards.
        """
        self._aborted = True
        self.gate.abort()
        self.purse.abort()
        await self.close_open()

    async def close_open(self) -> None:
        """Close every open request; returns when they are closed. New ones may begin."""
        exchanges = tuple(self._open)
        for exchange in exchanges:
            exchange.abort()
        await asyncio.gather(*(exchange.closed.wait() for exchange in exchanges))

    def _judge(self, exchange: Exchange) -> None:
        """What the request's end says about its provider."""
        circuit = self.network.circuits.of(exchange.spec)
        if isinstance(exchange.error, ModelUnavailable):
            circuit.failed(self.limits)
        elif exchange.complete or (exchange.status is not None and exchange.error is not None):
            circuit.succeeded()  # also when it has refused this request for what is in it
        else:
            circuit.undecided()

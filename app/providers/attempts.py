"""Who answers a call: the run's providers one after the other, each given what it can read of the conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from app.errors import BackendUnavailable, BudgetExhausted, ModelError, ModelRejected, ModelUnavailable
from app.providers.calls import Call
from app.providers.gate import RunAborted
from app.providers.model_run import ModelRun
from app.providers.transport import RunTransport
from app.runner.wire import ProviderSpec

RETRY_SHARE = 0.5

Item = TypeVar("Item")
Request = Callable[[ProviderSpec, float], AsyncIterator[Item]]
"""One request to a provider, with the share of its context that the messages may take."""


async def answered(run: ModelRun, call: Call, request: Request[Item]) -> AsyncGenerator[Item]:
    """Try the providers in order until one has answered.

    After a failure the typed error is ``run.failure``: frameworks wrap exceptions into their own.

    :raises ModelRejected: the request itself is at fault.
    :raises BackendUnavailable: no provider is left.
    :raises BudgetExhausted: there are no tokens left to spend.
    :raises asyncio.CancelledError: the run was stopped.
    """
    while True:
        spec = run.choose(call)
        try:
            async for item in _attempt(spec, request):
                yield item
            if not isinstance(run.failure, BudgetExhausted):  # which ends the whole run
                run.failure = None
            return
        except RunAborted:
            raise asyncio.CancelledError from None
        except ModelUnavailable as error:
            _next_provider(run, spec, call, error)
        except (ModelError, BudgetExhausted) as error:
            run.failure = error
            raise


@asynccontextmanager
async def closed_after(run: ModelRun, transport: RunTransport) -> AsyncGenerator[None]:
    """Around one request: what fails in it is raised as the transport's typed error, and nothing stays open.

    :raises ModelError: what the transport has found.
    :raises RunAborted: the run was stopped.
    """
    try:
        yield
    except (RunAborted, ModelError, BudgetExhausted, asyncio.CancelledError, GeneratorExit):
        raise
    except Exception as error:
        raise_failure(run, transport, error)
        raise
    finally:
        if transport.exchange is not None and not transport.exchange.closed.is_set():
            transport.exchange.abort()
            await transport.exchange.closed.wait()


def raise_failure(run: ModelRun, transport: RunTransport, cause: Exception | None = None) -> None:
    """Raise what has become of the last request, unless all is well.

    :raises ModelError: what the transport has found.
    :raises RunAborted: the run was stopped.
    """
    exchange = transport.exchange
    if run.aborted:
        raise RunAborted
    if exchange is None:
        return
    if exchange.error is not None:
        raise exchange.error from cause
    if exchange.status == 200 and cause is not None:
        sentence = f"{exchange.spec.name} sent a reply that cannot be read"
        raise ModelUnavailable(sentence, code="model_broken") from cause


def end(call: Call, transport: RunTransport, text: str) -> None:
    """The call has its reply."""
    exchange = transport.exchange
    cut_off = exchange is not None and exchange.finish_reason == "length"
    call.end(text, transport.spec.label or transport.spec.model, transport.usage(), cut_off=cut_off)


async def _attempt(spec: ProviderSpec, request: Request[Item]) -> AsyncGenerator[Item]:
    """One provider's reply; a bundled model that finds the prompt too long gets a shorter one, once."""
    share = 1.0
    while True:
        try:
            async for item in request(spec, share):
                yield item
            return
        except ModelRejected as error:
            if error.error_code != "context_overflow" or spec.kind != "local" or share < 1:
                raise
            share = RETRY_SHARE


def _next_provider(run: ModelRun, spec: ProviderSpec, call: Call, error: ModelUnavailable) -> None:
    """Go on with the next provider.

    :raises BackendUnavailable: there is none.
    """
    if run.spec is spec:  # else a parallel call has switched already
        if run.current + 1 >= len(run.providers):
            run.failure = BackendUnavailable(error.message, code=error.error_code)
            raise run.failure from error
        run.current += 1
    call.switch(spec, run.spec, error.error_code)

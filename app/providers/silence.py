"""What to do about a model that says nothing: probe it; leave a dead one at once, wait for one that lives."""

from __future__ import annotations

import asyncio
import time

import httpx2

from app.providers import failures
from app.providers.exchange import Exchange
from app.providers.gate import RunAborted
from app.providers.model_run import ModelRun

REPROBE_S = 5.0
LOCAL_PROBE_TIMEOUT_S = 3.0
LOCAL_QUEUE_FACTOR = 5
"""The bundled model has few slots: a request may wait long for its turn, and the model is well."""


async def watch(run: ModelRun, exchange: Exchange, request: httpx2.Request) -> None:
    """Kill the exchange with ``model_stalled`` when its host is dead, or when it lives but is silent for too long.

    Time does not count while the run's gate is closed. Runs until it is cancelled or has killed the exchange.
    """
    try:
        await _watch(run, exchange, request)
    except RunAborted:
        return


async def _watch(run: ModelRun, exchange: Exchange, request: httpx2.Request) -> None:
    limits, gate, spec = run.limits, run.gate, exchange.spec
    probe_timeout_s = max(limits.probe_timeout_s, LOCAL_PROBE_TIMEOUT_S if spec.kind == "local" else 0)
    probed_at = 0.0
    while True:
        await gate.opened()
        now = time.monotonic()
        if exchange.deltas:
            limit_s = limits.stall_timeout_s
        else:
            limit_s = limits.first_token_timeout_s + (limits.stall_timeout_s if exchange.whole else 0)
        if spec.kind == "local" and not exchange.deltas:
            limit_s *= LOCAL_QUEUE_FACTOR
        left_s = max(exchange.progressed_at, gate.opened_at) + limit_s - now
        if left_s <= 0:
            exchange.kill(failures.stalled(spec, f"no word for {limit_s:g} s"))
            return
        heard_at = max(exchange.heard_at, gate.opened_at)
        probe_in_s = max(heard_at + limits.probe_after_s, probed_at + REPROBE_S if probed_at > heard_at else 0) - now
        if probe_in_s > 0:
            await asyncio.sleep(min(probe_in_s, left_s) + 0.001)
            continue
        probed_at = now
        alive = await run.network.probe(request, min(probe_timeout_s, left_s))
        heard_meanwhile = max(exchange.heard_at, gate.opened_at) > now
        if not alive and not heard_meanwhile and gate.is_open:
            exchange.kill(failures.stalled(spec, "it does not answer a probe either"))
            return

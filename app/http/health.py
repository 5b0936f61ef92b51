"""Is it alive, and can it work? (FEATURES D5)"""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.auth.permissions import Action
from app.errors import RunnerLost
from app.http.answers import Alive, Readiness
from app.http.caller import permit
from app.http.contract import contract
from app.services import Services, services

health = Blueprint("health", __name__)

_PROBE_TIMEOUT_S = 2.0


@health.get("/api/v1/health")
@contract(Alive)
def alive() -> dict[str, Any]:
    """The process answers."""
    permit(Action.CONNECT)
    return {"status": "healthy", "timestamp": services().clock.now_iso()}


@health.get("/api/v1/health/ready")
@contract(Readiness, also={503: Readiness})
def ready() -> tuple[dict[str, Any], int]:
    """Ask the model, a runner, the log and the database.

    ``ready``: all is well. ``degraded`` (still 200): no model answers, so conversations are demos; or the database does
    not, so that what is to be kept waits in memory.
    ``not_ready`` (503): no runner, no sockets, or the log does not take an entry.
    """
    permit(Action.CONNECT)
    parts = services()
    runner, models = _ask_models(parts)
    log = parts.manager.check_log()
    store = parts.recorder.check()
    answering = next((name for name, found in models.items() if found.get("ok")), None)
    llm_status = "connected" if answering else ("loading" if _loading(parts) else "unavailable")
    works = runner is None and log is None and parts.sockets.error is None
    body = {
        "status": "not_ready" if not works else "ready" if answering and store.ok else "degraded",
        "llm_status": llm_status,
        "model": {"label": parts.models.label(), "answering": answering, "problem": parts.models.problem()},
        "checks": {
            "models": models,
            "runner": {"ok": runner is None, "error": runner},
            "log": {"ok": log is None, "error": log},
            "store": {"ok": store.ok, "error": store.message},
            "sockets": {"ok": parts.sockets.error is None, "error": parts.sockets.error},
        },
        "timestamp": parts.clock.now_iso(),
    }
    return body, 200 if works else 503


def _loading(parts: Services) -> bool:
    local = parts.models.local
    return local is not None and local.problem is None and not parts.models.ready_providers()


def _ask_models(parts: Services) -> tuple[str | None, dict[str, Any]]:
    providers = parts.models.ready_providers()
    try:
        return None, parts.supervisor.probe(providers, _PROBE_TIMEOUT_S)["providers"]
    except RunnerLost as error:
        return error.message, {}

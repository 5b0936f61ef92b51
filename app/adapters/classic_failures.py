"""What a classic AG2 team raises, as a typed error."""

from __future__ import annotations

import httpx
import openai

from app.errors import ColloquyError, ModelUnavailable, TeamFailed
from app.providers import failures
from app.runner.wire import ProviderSpec

_OWN = ProviderSpec(name="the team's own model", kind="openai", model="the team's own model")


def failure_of(error: BaseException) -> ColloquyError:
    """Errors of models that the team brings have their usual codes; everything else is ``team_failed``."""
    if isinstance(error, openai.APIStatusError):
        return failures.from_status(error.status_code, error.response.content, _OWN)
    if isinstance(error, openai.APITimeoutError) or _is_timeout_of_model(error):
        return ModelUnavailable(f"{_OWN.name} does not answer", code="model_stalled")
    if isinstance(error, openai.APIConnectionError) and isinstance(error.__cause__, httpx.ConnectError):
        return ModelUnavailable(f"{_OWN.name} cannot be reached", code="model_unreachable")
    if isinstance(error, openai.APIConnectionError | httpx.TransportError):
        return ModelUnavailable(f"{_OWN.name} broke off", code="model_broken")
    lines = str(error).strip().splitlines()
    return TeamFailed(f"the team failed: {type(error).__name__}: {lines[0] if lines else ''}"[:300])


def _is_timeout_of_model(error: BaseException) -> bool:
    """AG2 makes its own of them."""
    return isinstance(error, TimeoutError) and isinstance(error.__cause__, openai.APITimeoutError)

"""The test of a provider: asks it for its models, and says in a sentence how that went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.errors import RunnerLost
from app.runner.models import shown_address
from app.runner.supervisor import Supervisor
from app.runner.wire import ProviderSpec

TIMEOUT_S = 8.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a test went.

    :param outcome: ``uncertain``: it answers, and whether it has the model cannot be told without a conversation.
    :param code: a stable code where it failed.
    :param message: a sentence for people; nothing of what the provider has said.
    :param latency_ms: None where nobody was asked.
    """

    outcome: Literal["ok", "uncertain", "failed"]
    code: str | None
    message: str
    latency_ms: float | None = None


def try_provider(supervisor: Supervisor, spec: ProviderSpec, timeout_s: float = TIMEOUT_S) -> Verdict:
    """Ask through an agent process, as conversations do: what is tested is the way that they take."""
    try:
        answer = supervisor.probe((spec,), timeout_s, look=True)["providers"][spec.name]
    except RunnerLost as error:
        return Verdict("failed", error.error_code, f"it could not be tried: {error.message}")
    return judge(spec, answer, timeout_s)


def judge(spec: ProviderSpec, answer: Mapping[str, Any], timeout_s: float) -> Verdict:
    """What the probe's answer means."""
    latency_ms, where = answer["latency_ms"], f"the server at {shown_address(spec.base_url)}"
    if not answer["ok"]:
        code = answer["code"]
        said = {
            "model_unauthorized": f"{where} refuses the key" if spec.api_key else f"{where} wants a key",
            "model_stalled": f"{where} does not answer within {timeout_s:g} s",
            "model_server_error": f"{where} answers, and has failed by itself",
            "model_rate_limited": f"{where} takes the key, and allows no more requests now: rate limit or quota",
        }.get(code, answer["why"])
        return Verdict("failed", code, said, latency_ms)
    if answer["listed"]:
        return Verdict("ok", None, f"{where} answers, and has the model {spec.model}", latency_ms)
    if answer["listed"] is False:
        said = f"{where} answers, and does not know the model {spec.model}"
        return Verdict("failed", "model_not_found", said, latency_ms)
    if spec.kind == "azure":
        said = f"{where} answers and takes the key; the deployment {spec.model} shows with the first reply"
    else:
        said = f"{where} answers, without a list of models: look at the address (many end in /v1)"
    return Verdict("uncertain", None, said, latency_ms)

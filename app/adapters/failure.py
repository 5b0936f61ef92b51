"""Why a team has failed: frameworks wrap our errors into their own."""

from __future__ import annotations

from app.errors import TeamFailed
from app.providers.gate import RunAborted
from app.providers.model_run import ModelRun


def reason_of(error: Exception, model: ModelRun) -> Exception:
    """What to raise for what a team has raised: the stop, the model's own failure, or ``TeamFailed`` that names it."""
    if model.aborted:
        return RunAborted()
    if model.failure is not None:
        return model.failure
    lines = str(error).strip().splitlines()
    return TeamFailed(f"the team failed: {type(error).__name__}: {lines[0] if lines else ''}"[:330])

"""The audit log, for administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, g, request

from app.auth.accounts import USER_PREFIX
from app.auth.audit import Audited, Detail, Outcome
from app.auth.permissions import Action
from app.errors import InvalidPayload, StoreUnavailable
from app.http.answers import AuditPage, AuditQuery
from app.http.body import parse
from app.http.caller import permit
from app.http.contract import contract
from app.services import services

audit = Blueprint("audit", __name__)

_MOST = 200


@audit.get("/api/audit")
@contract(AuditPage, query=AuditQuery, errors=(InvalidPayload, StoreUnavailable))
def list_entries() -> dict[str, Any]:
    """Who did what, the newest first. For administrators."""
    permit(Action.OPERATE)
    query = parse(AuditQuery, request.args.to_dict())
    log = services().audit
    page = log.page(
        action=query.action, actor=query.actor, limit=min(_MOST, max(1, query.limit)), cursor=query.cursor or None
    )
    entries = [asdict(entry) for entry in page.entries]
    named = {name for each in page.entries for name in (each.actor, each.target, str(each.details.get("person")))}
    return {
        "entries": entries,
        "logins": services().people.accounts.logins(name for name in named if name.startswith(USER_PREFIX)),
        "next_cursor": page.cursor,
        "waiting": len(log),
        "lost": log.lost,
    }


def note(
    action: Audited, target: str = "", outcome: Outcome = "ok", *, actor: str | None = None, **details: Detail
) -> None:
    """Note what the present request did.

    :param actor: who did it, where that is not whom the request was recognised as.
    """
    if actor is None:
        actor = g.principal.id if g.get("principal") is not None else ""
    services().audit.note(actor, request.remote_addr or "", action, target, outcome, details)

"""The audit log: who did what to whom, from where, and how it went. It never holds up, and never fails, what it notes.

An entry carries names and ids, never a password, a token, a key or what was said in a conversation.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Literal

from sqlalchemy import Connection, delete, insert, select

from app.auth.times import now_iso
from app.concurrency import AsyncMode
from app.errors import InvalidPayload, StoreUnavailable
from app.store.database import Database, Refused
from app.store.tables import audit
from app.streaming.ports import Clock

logger = logging.getLogger(__name__)

_BATCH = 500
_GATHER_S = 0.1  # what comes in this time is written together
_RETRY_S = 2.0
_PRUNE_S = 3600.0
_PRUNED_AT_ONCE = 5000
_MAX_TEXT = 250  # of a name or a target; longer ones are cut
_MAX_ITEMS = 20

Outcome = Literal["ok", "refused", "failed"]
Detail = str | int | float | bool | None | list[str]


class Audited(StrEnum):
    """What is noted. The target is in brackets."""

    SIGN_IN = "sign_in"  # (the login that was typed)
    SIGN_OUT = "sign_out"  # (the person)
    REGISTER = "register"  # (the login)
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # (the person)
    TOKEN_MADE = "token_made"  # noqa: S105  # (the token's id)
    TOKEN_REVOKED = "token_revoked"  # noqa: S105  # (the token's id)
    PERSON_ADDED = "person_added"  # (the person) by the command line
    PERSON_DISABLED = "person_disabled"  # (the person)
    PERSON_ENABLED = "person_enabled"  # (the person)
    PERSON_DELETED = "person_deleted"  # (the person) by themselves, or by the command line
    PERSON_CHANGED = "person_changed"  # (the person) an administrator, or not any more, by the command line
    SHARE_SET = "share_set"  # (the conversation)
    SHARE_REVOKED = "share_revoked"  # (the conversation)
    LINK_MADE = "link_made"  # (the conversation)
    LINK_REVOKED = "link_revoked"  # (the conversation)
    BROADCAST = "broadcast"  # ()
    SETTINGS_CHANGED = "settings_changed"  # (the setting)
    PROVIDER_ADDED = "provider_added"  # (the provider)
    PROVIDER_CHANGED = "provider_changed"  # (the provider)
    PROVIDER_REMOVED = "provider_removed"  # (the provider)
    PROVIDER_TESTED = "provider_tested"  # (the provider)
    PROVIDERS_ORDERED = "providers_ordered"  # ()
    CONVERSATION_DELETED = "conversation_deleted"  # (the conversation)
    CONVERSATION_EXPORTED = "conversation_exported"  # (the conversation)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log. Times are UTC, ISO 8601, milliseconds, ``Z``."""

    entry_id: int
    at: str
    actor: str
    address: str
    action: str
    target: str
    outcome: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """:param cursor: for the next page; None: this is the last."""

    entries: tuple[Entry, ...]
    cursor: str | None


class AuditLog:
    """Takes notes, and writes them in the background. Safe to use from several threads or greenlets.

    While the database is away, the notes wait. Beyond ``most`` of them, further ones are lost: they are counted, and
    written to the server's log, as are those that wait when the server ends.

    :param keep_days: older entries are deleted; 0: none.
    """

    def __init__(
        self, database: Database, mode: AsyncMode, clock: Clock, *, keep_days: float = 0.0, most: int = 10_000
    ) -> None:
        self._database = database
        self._mode = mode
        self._clock = clock
        self._keep_days = keep_days
        self._most = most
        self._waiting: deque[dict[str, Any]] = deque()
        self._changed = threading.Condition()  # guards the deque and what is below
        self._running = False
        self._closing = False
        self._failing = False
        self.lost = 0

    def __len__(self) -> int:
        """How many notes wait."""
        return len(self._waiting)

    # --- taking notes -------------------------------------------------------------------------------------------------

    def note(
        self,
        actor: str,
        address: str,
        action: Audited,
        target: str = "",
        outcome: Outcome = "ok",
        details: Mapping[str, Detail] | None = None,
    ) -> None:
        """Note something that was done, or refused. Does not block and raises nothing.

        :param actor: the principal's id; empty where nobody is known (a sign-in that was refused).
        :param address: where the request came from.
        :param target: the id of what it was done to.
        :param details: names and figures, never a secret.
        """
        try:
            row = _row(actor, address, action, target, outcome, details or {})
            with self._changed:
                full = len(self._waiting) >= self._most or self._closing
                if full:
                    self.lost += 1
                else:
                    self._waiting.append(row)
                    self._changed.notify_all()
        except Exception:
            logger.exception("%s could not be noted in the audit log", action)
            return
        if full:
            _log_lost(row)

    # --- writing ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Write what is noted, until :meth:`close`; for a background task."""
        self._running, prune_at = True, self._clock.monotonic()
        try:
            while True:
                if self._clock.monotonic() >= prune_at:
                    self._prune()
                    prune_at = self._clock.monotonic() + _PRUNE_S
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._closing, _PRUNE_S)
                if not self._closing:
                    self._mode.sleep(_GATHER_S)
                good = self.flush()
                with self._changed:
                    if not good and not self._closing:
                        self._changed.wait_for(lambda: self._closing, _RETRY_S)
                    elif self._closing:
                        return
        finally:
            with self._changed:
                self._running = False
                self._changed.notify_all()

    def close(self, deadline: float) -> None:
        """Let what waits be written until ``deadline`` of the clock; the server's log is told what was not."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            rest_s = max(0.0, deadline - self._clock.monotonic())
            self._changed.wait_for(lambda: not (self._running and self._waiting), rest_s)
            left = list(self._waiting)
        for row in left:
            self.lost += 1
            _log_lost(row)

    def flush(self) -> bool:
        """Write what waits, now; False if the database does not take it. One caller at a time."""
        while self._waiting:
            batch = list(islice(self._waiting, _BATCH))
            settled = self._write(batch)
            with self._changed:
                for _ in range(settled):
                    self._waiting.popleft()
                self._changed.notify_all()
            if settled < len(batch):
                return False
        return True

    def _write(self, batch: list[dict[str, Any]]) -> int:
        """How many of them need no further care: in their order, from the first on."""
        settled = 0
        try:
            try:
                self._insert(batch)
                settled = len(batch)
            except Refused:  # the others shall not be lost with the one that the database does not take
                for row in batch:
                    self._insert_or_lose(row)
                    settled += 1
        except StoreUnavailable as error:
            if not self._failing:
                logger.warning("the audit log waits for the database: %s", error.message)
            self._failing = True
        else:
            self._failing = False
        return settled

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        self._database.write(lambda connection: connection.execute(insert(audit), rows))

    def _insert_or_lose(self, row: dict[str, Any]) -> None:
        try:
            self._insert([row])
        except Refused:
            self.lost += 1
            _log_lost(row)

    def _prune(self) -> None:
        if not self._keep_days:
            return
        before = now_iso(ahead_s=-self._keep_days * 86_400)
        old = select(audit.c.entry_id).where(audit.c.at < before).limit(_PRUNED_AT_ONCE)

        def remove(connection: Connection) -> int:
            return connection.execute(delete(audit).where(audit.c.entry_id.in_(old))).rowcount

        try:
            while self._database.write(remove) >= _PRUNED_AT_ONCE:
                pass
        except StoreUnavailable as error:
            logger.info("old entries of the audit log are still there: %s", error.message)

    # --- reading ------------------------------------------------------------------------------------------------------

    def page(
        self, *, action: str | None = None, actor: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """Entries, the newest first.

        :param cursor: as an earlier page gave it.
        :raises InvalidPayload: for a cursor that is none.
        :raises StoreUnavailable:
        """
        statement = select(audit).order_by(audit.c.entry_id.desc()).limit(limit + 1)
        if action is not None:
            statement = statement.where(audit.c.action == action)
        if actor is not None:
            statement = statement.where(audit.c.actor == actor)
        if cursor is not None:
            if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
                raise InvalidPayload("cursor: not one that this server gave")
            statement = statement.where(audit.c.entry_id < int(cursor))
        rows = self._database.read(lambda connection: connection.execute(statement).mappings().all())
        entries = tuple(Entry(**row) for row in rows[:limit])
        return Page(entries, str(entries[-1].entry_id) if len(rows) > limit else None)


def _row(
    actor: str, address: str, action: Audited, target: str, outcome: Outcome, details: Mapping[str, Detail]
) -> dict[str, Any]:
    return {
        "at": now_iso(),
        "actor": _clean(actor),
        "address": _clean(address),
        "action": str(action)[:64],
        "target": _clean(target),
        "outcome": outcome,
        "details": {_clean(name): _value(value) for name, value in list(details.items())[:_MAX_ITEMS]},
    }


def _value(value: Detail) -> Detail:
    if isinstance(value, list | tuple):
        return [_clean(str(each)) for each in value[:_MAX_ITEMS]]
    return value if value is None or isinstance(value, int | float) else _clean(str(value))


def _clean(text: str) -> str:
    """What every database takes: whole characters, no NUL, not too long."""
    return text[:_MAX_TEXT].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _log_lost(row: Mapping[str, Any]) -> None:
    logger.error("an entry of the audit log was not kept: %r", dict(row))

"""Tells when a sign-in, a token or a person has ended, whoever ended it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable

from sqlalchemy import Connection, select

from app.auth.times import earlier, now_iso
from app.concurrency import AsyncMode
from app.errors import StoreUnavailable
from app.store.database import Database
from app.store.tables import api_tokens, sign_ins, users

logger = logging.getLogger(__name__)

POLL_S = 2.0
_OVERLAP_S = 60.0  # the clocks of two servers, and writes that were committed late
_REMEMBERED = 10_000

OnEnded = Callable[[str], None]
"""Called with `sign_in:<id>`, `token:<id>` or `user:<id>`. Safe to call twice with the same one."""


class Endings:
    """What this process ends it tells at once; what others end (the command line, another server) it finds in the
    database, within two seconds.
    """

    def __init__(self, database: Database | None, mode: AsyncMode | None) -> None:
        self._database = database
        self._mode = mode
        self._callbacks: list[OnEnded] = []
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()  # with when: a person may be ended twice
        self._looked_at = now_iso()
        self._failing = False

    def on_ended(self, callback: OnEnded) -> None:
        """Call this, in the task that ends something, or in the one that looks."""
        self._callbacks.append(callback)

    def tell(self, ended: Iterable[str]) -> None:
        """These have ended just now, by this process."""
        for name in ended:
            for callback in tuple(self._callbacks):
                try:
                    callback(name)
                except Exception:
                    logger.exception("what follows from the end of %s failed", name.partition(":")[0])

    def ended_since(self, since: str) -> list[tuple[str, str]]:
        """What has ended at or after a moment, as (name, when). Waits for the database.

        :raises StoreUnavailable:
        """
        if self._database is None:
            return []

        def look(connection: Connection) -> list[tuple[str, str]]:
            found: list[tuple[str, str]] = []
            for kind, key, at in (
                ("sign_in", sign_ins.c.sign_in_id, sign_ins.c.ended_at),
                ("token", api_tokens.c.token_id, api_tokens.c.revoked_at),
                ("user", users.c.user_id, users.c.disabled_at),
            ):
                found += [
                    (f"{kind}:{name}", when) for name, when in connection.execute(select(key, at).where(at >= since))
                ]
            return found

        return self._database.read(look)

    def look(self) -> None:
        """Tell what others have ended since the last look.

        :raises StoreUnavailable:
        """
        now = now_iso()
        fresh = [each for each in self.ended_since(self._looked_at) if each not in self._told]
        self._looked_at = max(self._looked_at, earlier(now, _OVERLAP_S))
        for each in fresh:
            self._told[each] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        self.tell(name for name, _ in fresh)

    def run(self) -> None:
        """Look every two seconds, for ever; for a background task. While the database is away, nothing can end."""
        if self._mode is None:
            return
        while True:
            self._mode.sleep(POLL_S)
            try:
                self.look()
                self._failing = False
            except StoreUnavailable as error:
                if not self._failing:
                    logger.warning("cannot see who was signed out: %s", error.message)
                self._failing = True

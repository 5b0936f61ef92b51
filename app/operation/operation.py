"""Everything that administrators change while the server runs, put together."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from app.concurrency import AsyncMode
from app.errors import StoreUnavailable
from app.operation.key_vault import Ask, Fetch, KeyVault
from app.operation.keys import KeyBox
from app.operation.live_settings import Apply, LiveSettings
from app.operation.providers import StoredProviders
from app.operation.rows import ProviderRows
from app.runner.models import ModelDirectory
from app.settings import Settings
from app.store.database import Database

logger = logging.getLogger(__name__)

_EVERY_S = 3.0


@dataclass(frozen=True, slots=True)
class Operation:
    """Stored providers and settings, and the task that follows what other processes change of them."""

    providers: StoredProviders
    settings: LiveSettings
    mode: AsyncMode

    def refresh(self, ask: Ask = "never") -> None:
        """Take over what the database says now. Without a database, what was there before stays.

        :param ask: whether the Key Vault is asked, which may take a while.

        Two tables of some rows are read whole: nothing cheaper would be as sure.
        """
        try:
            self.settings.refresh()
            self.providers.refresh(ask)  # last, since the Key Vault may keep it waiting
        except StoreUnavailable:
            return  # the recorder tells everybody

    def watch(self) -> None:
        """Refresh every few seconds, for ever; for a background task. It alone asks the Key Vault by itself."""
        while True:
            try:
                self.refresh("due")
            except Exception:
                logger.exception("what administrators have stored cannot be used; what was there before stays")
            self.mode.sleep(_EVERY_S)


def operation_of(
    settings: Settings,
    secret: str,
    database: Database,
    models: ModelDirectory,
    mode: AsyncMode,
    apply: Apply,
    fetch: Fetch | None = None,
) -> Operation:
    """The operation of a server.

    :param secret: the signing key, from which the one for provider keys is derived.
    :param fetch: stands in for Azure (tests).
    """
    vault = KeyVault(settings.azure_key_vault_url, fetch)
    rows = ProviderRows(database)
    providers = StoredProviders(rows, KeyBox(secret), vault, models, settings.model_context_tokens)
    return Operation(providers, LiveSettings(database, settings, apply), mode)

"""The providers that administrators have stored: their keys, their state, and what runs are given of them."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from app.errors import NotFound
from app.operation.entered import OPTIONS, checked, checked_key, same_place
from app.operation.fields import InvalidFields
from app.operation.key_vault import Ask, KeyUnavailable, KeyVault
from app.operation.keys import KeyBox, KeyUnreadable, hint_of
from app.operation.rows import ProviderRow, ProviderRows
from app.providers.addresses import base_url_of
from app.runner.models import ModelDirectory
from app.runner.wire import ProviderSpec

logger = logging.getLogger(__name__)

KeyState = Literal["none", "kept", "reference", "unreadable", "unavailable"]

Kind = Literal["openai", "azure", "anthropic", "ollama"]
_LABELS = {"azure": " (Azure)", "ollama": " (Ollama)"}
UNREADABLE = "its key cannot be read, because SECRET_KEY has changed: enter the key again"


@dataclass(frozen=True, slots=True)
class ProviderState:
    """A stored provider, and whether it can be used.

    :param key: ``unreadable``: encrypted under another SECRET_KEY; ``unavailable``: the Key Vault does not give it.
    :param key_hint: its last characters, of a long one.
    :param problem: why it is left out, for people.
    :param spec: what runs are given; None where it cannot be used.
    """

    row: ProviderRow
    key: KeyState
    key_hint: str | None
    problem: str | None
    spec: ProviderSpec | None


class StoredProviders:
    """Stores providers, and keeps the list of those that answer current. Methods may wait for the database.

    :param context_tokens: of a provider for which nobody has entered any: MODEL_CONTEXT_TOKENS.
    """

    def __init__(
        self, rows: ProviderRows, box: KeyBox, vault: KeyVault, models: ModelDirectory, context_tokens: int
    ) -> None:
        self._rows = rows
        self._box = box
        self._vault = vault
        self._models = models
        self._context_tokens = context_tokens
        self._in_use: tuple[ProviderSpec, ...] = ()
        self._told: dict[str, str] = {}  # provider → the problem that the log knows of

    @property
    def vault_url(self) -> str | None:
        return self._vault.url

    def default_options(self) -> dict[str, Any]:
        """What is meant where nobody has entered anything."""
        plain = ProviderSpec(name="plain", kind="openai", model="plain", context_tokens=self._context_tokens)
        return {name: getattr(plain, name) for name in OPTIONS}

    def states(self) -> list[ProviderState]:
        """All of them, in their order. :raises StoreUnavailable:"""
        return [self._state(row) for row in self._rows.all()]

    def get(self, provider_id: str, ask: Ask = "never") -> ProviderState:
        """One of them.

        :param ask: whether the Key Vault is asked.
        :raises NotFound: :raises StoreUnavailable:
        """
        return self._state(self._row(provider_id), ask)

    def refresh(self, ask: Ask = "never") -> None:
        """Take over what the database says now, whoever has changed it.

        :param ask: whether the Key Vault is asked, which may take a while.
        :raises StoreUnavailable:
        """
        states = [self._state(row, ask) for row in self._rows.all()]
        specs = tuple(state.spec for state in states if state.spec is not None and state.row.enabled)
        if specs != self._in_use:
            self._in_use = specs
            self._models.use(specs)
            logger.info("models: %s", self._models.label())
        problems = {state.row.name: state.problem for state in states if state.problem and state.row.enabled}
        for name, problem in problems.items():
            if self._told.get(name) != problem:
                logger.warning("the provider %s is left out: %s", name, problem)
        self._told = problems

    # --- changes ------------------------------------------------------------------------------------------------------

    def add(self, entered: Mapping[str, Any], api_key: str | None, by: str) -> ProviderState:
        """A further provider, after all others.

        :raises InvalidFields: :raises StoreUnavailable:
        """
        provider_id = "prv_" + secrets.token_hex(8)
        values = _all_checked(entered, api_key, has_key=False)
        self._rows.add({"provider_id": provider_id, **self._stored(provider_id, values)}, by)
        return self._changed(provider_id)

    def change(self, provider_id: str, entered: Mapping[str, Any], api_key: str | None, by: str) -> ProviderState:
        """Change some fields.

        :param api_key: None: the key stays as it is; empty: it is forgotten.
        :raises InvalidFields: also when another address comes without a key: what was entered for one server is never
            sent to another.
        :raises NotFound: :raises StoreUnavailable:
        """
        row = self._row(provider_id)
        before: dict[str, Any] = {
            "name": row.name,
            "kind": row.kind,
            "model": row.model,
            "base_url": row.base_url,
            "api_version": row.api_version,
            "enabled": row.enabled,
            **row.options,
        }
        has_key = row.key_cipher is not None or row.key_reference is not None
        values = _all_checked({**before, **entered}, api_key, has_key=has_key)
        if api_key is None and has_key and not same_place(values, before):
            raise InvalidFields({"api_key": "the key was entered for another address: enter it again"})
        self._rows.change(provider_id, self._stored(provider_id, values), by)
        return self._changed(provider_id)

    def remove(self, provider_id: str) -> None:
        """:raises NotFound: :raises StoreUnavailable:"""
        self._rows.remove(provider_id)
        self.refresh()

    def order(self, provider_ids: list[str], by: str) -> None:
        """:raises InvalidFields: :raises StoreUnavailable:"""
        self._rows.order(provider_ids, by)
        self.refresh()

    # --- one row ------------------------------------------------------------------------------------------------------

    def _row(self, provider_id: str) -> ProviderRow:
        found = next((row for row in self._rows.all() if row.provider_id == provider_id), None)
        if found is None:
            raise NotFound("there is no such provider")
        return found

    def _changed(self, provider_id: str) -> ProviderState:
        self.refresh()
        return self.get(provider_id)

    def _stored(self, provider_id: str, values: dict[str, Any]) -> dict[str, Any]:
        """The columns: what is a key becomes a cipher or a reference."""
        columns = dict(values)
        if "api_key" in columns:
            key, reference = columns.pop("api_key")
            columns["key_cipher"] = None if key is None else self._box.close(provider_id, key)
            columns["key_reference"] = reference
        return columns

    def _state(self, row: ProviderRow, ask: Ask = "never") -> ProviderState:
        state: KeyState = "none"
        key: str | None = None
        problem = None
        if row.key_reference is not None:
            state = "reference"
            try:
                key = self._vault.get(row.key_reference, ask)
            except KeyUnavailable as error:
                state, problem = "unavailable", str(error)
        elif row.key_cipher is not None:
            state = "kept"
            try:
                key = self._box.open(row.provider_id, row.key_cipher)
            except KeyUnreadable:
                state, problem = "unreadable", UNREADABLE
        hint = hint_of(key) if key is not None and state == "kept" else None
        spec = None if problem else self._spec(row, key)
        return ProviderState(row, state, hint, problem, spec)

    def _spec(self, row: ProviderRow, key: str | None) -> ProviderSpec:
        return ProviderSpec(
            name=row.name,
            kind=cast(Kind, row.kind),
            model=row.model,
            base_url=row.base_url if row.kind == "openai" else base_url_of(row.kind, row.base_url),
            api_key=key,
            api_version=row.api_version,
            label=f"{row.model}{_LABELS.get(row.kind, '')}",
            **{"context_tokens": self._context_tokens, **row.options},
        )


def _all_checked(entered: Mapping[str, Any], api_key: str | None, *, has_key: bool) -> dict[str, Any]:
    """The checked fields, and ``api_key`` as :func:`checked_key` has it, where one was entered."""
    wrong: dict[str, str] = {}
    values: dict[str, Any] = {}
    try:
        values = checked(entered)
    except InvalidFields as error:
        wrong |= error.fields
    if api_key is not None:
        has_key = bool(api_key.strip())
        try:
            values["api_key"] = checked_key(api_key)
        except InvalidFields as error:
            wrong |= error.fields
    kind = entered.get("kind")
    if not has_key and kind in ("azure", "anthropic"):
        wrong["api_key"] = f"{kind.title()} needs a key"
    elif kind == "openai" and not has_key and not (entered.get("base_url") or "").strip():
        wrong["api_key"] = "OpenAI needs a key; a server without one has an address of its own"
    if wrong:
        raise InvalidFields(wrong)
    return values

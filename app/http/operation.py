"""What administrators change while the server runs: providers and settings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from flask import Blueprint
from pydantic import Field, JsonValue, SecretStr, StrictBool

from app.auth.audit import Audited, Outcome
from app.auth.permissions import Action
from app.errors import InvalidPayload, InvalidState, NotFound, StoreUnavailable
from app.http.answers import Timestamp
from app.http.audit import note
from app.http.body import parse_body
from app.http.caller import permit
from app.http.contract import contract
from app.operation.entered import OPTIONS
from app.operation.fields import InvalidFields
from app.operation.providers import KeyState, ProviderState
from app.operation.trial import Verdict, try_provider
from app.protocol.common import ANumber, Payload
from app.runner.models import shown_address
from app.runner.wire import ProviderSpec
from app.services import Services, services

operation = Blueprint("operation", __name__)

_OF_ENVIRONMENT = "environment:"
_BUNDLED = "bundled:"

Number = int | float
Kind = Literal["openai", "azure", "anthropic", "ollama"]


_Price = Annotated[
    float | None,
    ANumber,
    Field(description="of a million tokens, in US dollars; null: as the price list says, where it knows"),
]


class FieldsError(Payload):
    """Some fields are no good."""

    code: Literal["invalid_payload"]
    message: str
    retryable: Literal[False]
    fields: Annotated[dict[str, str], Field(description="what is wrong, by field")]


class FieldsAnswer(Payload):
    """Some fields are no good; nothing has changed."""

    error: FieldsError


class LiveSettingRow(Payload):
    """A setting that may be changed while the server runs."""

    name: str
    value: Number
    source: Annotated[Literal["default", "environment", "stored"], Field(description="where the value comes from")]
    otherwise: Annotated[Number, Field(description="what it is when nothing is stored")]
    kind: Literal["integer", "number"]
    minimum: Number
    meaning: str
    updated_at: Timestamp | None
    updated_by: str | None


class LiveSettingList(Payload):
    settings: tuple[LiveSettingRow, ...]


class SettingsChange(Payload):
    """New values by name; what is not named stays as it is."""

    settings: Annotated[
        dict[str, JsonValue], Field(description="name → number; null: back to the environment's value, or the default")
    ]


class ProviderShown(Payload):
    """A provider of models. Its key is never shown."""

    provider_id: str
    source: Annotated[
        Literal["stored", "environment", "bundled"], Field(description="only stored ones can be changed here")
    ]
    name: str
    kind: Literal["openai", "azure", "anthropic", "ollama", "local"]
    model: str
    base_url: Annotated[str | None, Field(description="null: the provider's own")]
    api_version: str | None
    context_tokens: int
    max_reply_tokens: int | None
    stream: bool
    structured_output: bool
    function_calling: bool
    prompt_price_usd: _Price
    reply_price_usd: _Price
    enabled: bool
    key: Annotated[
        KeyState,
        Field(description="`unreadable`: SECRET_KEY has changed; `unavailable`: the Key Vault does not give it"),
    ]
    key_hint: Annotated[str | None, Field(description="the last characters of a long key")]
    key_reference: Annotated[str | None, Field(description="the name of a secret in the Key Vault")]
    problem: Annotated[str | None, Field(description="why it is left out, for people")]
    updated_at: Timestamp | None
    updated_by: str | None


class ProviderList(Payload):
    """All providers, in the order in which they are asked."""

    providers: tuple[ProviderShown, ...]
    label: Annotated[str, Field(description="which model answers the next conversation")]
    key_vault: Annotated[bool, Field(description="whether AZURE_KEY_VAULT_URL is set")]


_Key = Annotated[
    SecretStr | None,
    Field(max_length=4000, description="a key, or `keyvault:NAME` for a secret in the Key Vault; it is never shown"),
]
_Text = Annotated[str, Field(max_length=2000)]
_OptionalText = Annotated[str | None, Field(max_length=2000)]


class _ProviderFields(Payload):
    """What may be entered about a provider; each field has a value that is meant where none is given."""

    kind: Annotated[Kind, Field(description="`openai`: whatever speaks as OpenAI does")] = "openai"
    base_url: _OptionalText = None
    api_version: _OptionalText = None
    api_key: _Key = None
    context_tokens: Annotated[int | None, ANumber] = None
    max_reply_tokens: Annotated[int | None, ANumber] = None
    stream: StrictBool = True
    structured_output: StrictBool = True
    function_calling: StrictBool = True
    prompt_price_usd: _Price = None
    reply_price_usd: _Price = None
    enabled: StrictBool = True


class NewProvider(_ProviderFields):
    """A provider to be added, after those that are there."""

    name: _Text
    model: Annotated[_Text, Field(description="Azure: the deployment")]


class ProviderChange(_ProviderFields):
    """What is named is changed. The key stays where it is not named; null or an empty one is forgotten."""

    name: _Text = ""
    model: _Text = ""


class ProviderOrder(Payload):
    provider_ids: Annotated[
        tuple[str, ...], Field(max_length=200, description="all stored providers, the first choice first")
    ]


class TestAnswer(Payload):
    """How a provider did when it was asked for its models."""

    __test__ = False  # no test of ours

    outcome: Annotated[
        Literal["ok", "uncertain", "failed"],
        Field(description="`uncertain`: it answers, and whether it has the model shows with a conversation"),
    ]
    code: str | None
    message: str
    latency_ms: float | None


@operation.errorhandler(InvalidFields)
def wrong_fields(error: InvalidFields) -> tuple[dict[str, Any], int]:
    """The one shape of errors, with a sentence for each field."""
    return {"error": {**error.to_payload(), "fields": error.fields}}, error.http_status


_WRONG: dict[str, Any] = {"also": {400: FieldsAnswer}}

# --- settings ---------------------------------------------------------------------------------------------------------


@operation.get("/api/settings")
@contract(LiveSettingList, errors=(StoreUnavailable,))
def show_settings() -> dict[str, Any]:
    """The settings that may be changed while the server runs, and where their values come from. For administrators."""
    permit(Action.OPERATE)
    return _settings()


@operation.put("/api/settings")
@contract(LiveSettingList, body=SettingsChange, errors=(InvalidPayload, StoreUnavailable), **_WRONG)
def change_settings() -> dict[str, Any]:
    """Change some settings, or take back what was changed. For administrators.

    All of them, or none. It takes effect at once, and within seconds in other processes on the same database.
    """
    principal, body = permit(Action.OPERATE), parse_body(SettingsChange)
    services().operation.settings.change(body.settings, principal.id)
    for name, value in body.settings.items():
        note(Audited.SETTINGS_CHANGED, name, value="as before" if value is None else f"{value}")
    return _settings()


def _settings() -> dict[str, Any]:
    return {"settings": [asdict(each) for each in services().operation.settings.all()]}


# --- providers --------------------------------------------------------------------------------------------------------


@operation.get("/api/providers")
@contract(ProviderList, errors=(StoreUnavailable,))
def list_providers() -> dict[str, Any]:
    """The models that answer, in their order: stored, of the environment, bundled. For administrators."""
    permit(Action.OPERATE)
    parts = services()
    stored = [_stored_row(parts, each) for each in parts.operation.providers.states()]
    others = [_other_row(spec, "environment") for spec in parts.models.of_environment]
    bundled = [_other_row(spec, "bundled") for spec in parts.models.ready_providers() if spec.kind == "local"]
    return {
        "providers": [*stored, *others, *bundled],
        "label": parts.models.label(),
        "key_vault": parts.operation.providers.vault_url is not None,
    }


@operation.post("/api/providers")
@contract(ProviderShown, status=201, body=NewProvider, errors=(InvalidPayload, StoreUnavailable), **_WRONG)
def add_provider() -> tuple[dict[str, Any], int]:
    """Add a provider, after those that are stored. For administrators. The next conversation may use it."""
    principal, body = permit(Action.OPERATE), parse_body(NewProvider)
    entered = body.model_dump(exclude={"api_key"})
    parts = services()
    made = parts.operation.providers.add(entered, _secret(body.api_key), principal.id)
    note(Audited.PROVIDER_ADDED, made.row.provider_id, **_noted(made))
    return _stored_row(parts, made), 201


@operation.patch("/api/providers/<provider_id>")
@contract(
    ProviderShown, body=ProviderChange, errors=(InvalidPayload, InvalidState, NotFound, StoreUnavailable), **_WRONG
)
def change_provider(provider_id: str) -> dict[str, Any]:
    """Change a stored provider. For administrators. Conversations that run keep what they began with.

    A key is only sent where it was entered for: with another address, it has to be entered again.
    """
    principal, body = permit(Action.OPERATE), parse_body(ProviderChange)
    _only_stored(provider_id)
    entered = body.model_dump(include=body.model_fields_set - {"api_key"})
    key = (_secret(body.api_key) or "") if "api_key" in body.model_fields_set else None
    parts = services()
    changed = parts.operation.providers.change(provider_id, entered, key, principal.id)
    note(Audited.PROVIDER_CHANGED, provider_id, changed=sorted(body.model_fields_set), **_noted(changed))
    return _stored_row(parts, changed)


@operation.delete("/api/providers/<provider_id>")
@contract(status=204, errors=(InvalidState, NotFound, StoreUnavailable))
def remove_provider(provider_id: str) -> tuple[str, int]:
    """Delete a stored provider, with its key. For administrators."""
    permit(Action.OPERATE)
    _only_stored(provider_id)
    name = services().operation.providers.get(provider_id).row.name
    services().operation.providers.remove(provider_id)
    note(Audited.PROVIDER_REMOVED, provider_id, name=name)
    return "", 204


@operation.post("/api/providers/<provider_id>/test")
@contract(TestAnswer, errors=(NotFound, StoreUnavailable))
def test_provider(provider_id: str) -> dict[str, Any]:
    """Ask a provider for its models, and say how that went. For administrators.

    Takes up to eight seconds; where its key lies in the Key Vault, which is asked first, twice that.
    """
    permit(Action.OPERATE)
    parts = services()
    spec = _spec_of_others(parts, provider_id)
    if spec is None:
        state = parts.operation.providers.get(provider_id, "now")
        if state.spec is None:
            return asdict(Verdict("failed", "key_unavailable", state.problem or "its key cannot be had"))
        spec = state.spec
    verdict = try_provider(parts.supervisor, spec)
    outcome: Outcome = "failed" if verdict.outcome == "failed" else "ok"
    note(Audited.PROVIDER_TESTED, provider_id, outcome, name=spec.name, code=verdict.code)
    return asdict(verdict)


@operation.put("/api/providers/order")
@contract(ProviderList, body=ProviderOrder, errors=(InvalidPayload, StoreUnavailable), **_WRONG)
def order_providers() -> dict[str, Any]:
    """Put the stored providers in another order. For administrators."""
    principal, body = permit(Action.OPERATE), parse_body(ProviderOrder)
    services().operation.providers.order(list(body.provider_ids), principal.id)
    answer = list_providers()
    note(Audited.PROVIDERS_ORDERED, order=[each["name"] for each in answer["providers"] if each["source"] == "stored"])
    return answer


def _noted(state: ProviderState) -> dict[str, Any]:
    """What the audit log may keep of a provider: where it leads, never a key."""
    row = state.row
    return {"name": row.name, "kind": row.kind, "model": row.model, "base_url": row.base_url, "key": state.key}


def _secret(entered: SecretStr | None) -> str | None:
    return None if entered is None else entered.get_secret_value()


def _only_stored(provider_id: str) -> None:
    if provider_id.startswith((_OF_ENVIRONMENT, _BUNDLED)) and _spec_of_others(services(), provider_id) is not None:
        raise InvalidState("this provider comes from the server's environment: it cannot be changed here")


def _spec_of_others(parts: Services, provider_id: str) -> ProviderSpec | None:
    known = {f"{_OF_ENVIRONMENT}{spec.name}": spec for spec in parts.models.of_environment}
    known |= {f"{_BUNDLED}{spec.name}": spec for spec in parts.models.ready_providers() if spec.kind == "local"}
    return known.get(provider_id)


def _stored_row(parts: Services, state: ProviderState) -> dict[str, Any]:
    row = state.row
    options = {**parts.operation.providers.default_options(), **row.options}
    return {
        "provider_id": row.provider_id,
        "source": "stored",
        "name": row.name,
        "kind": row.kind,
        "model": row.model,
        "base_url": row.base_url,
        "api_version": row.api_version,
        **{name: options[name] for name in OPTIONS},
        "enabled": row.enabled,
        "key": state.key,
        "key_hint": state.key_hint,
        "key_reference": row.key_reference,
        "problem": state.problem,
        "updated_at": row.updated_at,
        "updated_by": row.updated_by,
    }


def _other_row(spec: ProviderSpec, source: Literal["environment", "bundled"]) -> dict[str, Any]:
    prefix = _OF_ENVIRONMENT if source == "environment" else _BUNDLED
    return {
        "provider_id": f"{prefix}{spec.name}",
        "source": source,
        "name": spec.name,
        "kind": spec.kind,
        "model": spec.model,
        "base_url": None if spec.base_url is None else shown_address(spec.base_url),
        "api_version": spec.api_version,
        **{name: getattr(spec, name) for name in OPTIONS},
        "enabled": True,
        "key": "kept" if spec.api_key else "none",
        "key_hint": None,
        "key_reference": None,
        "problem": None,
        "updated_at": None,
        "updated_by": None,
    }

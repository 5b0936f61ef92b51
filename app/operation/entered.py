"""What administrators enter about a provider, checked field by field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from app.operation.fields import InvalidFields
from app.operation.key_vault import PREFIX, secret_name
from app.providers.addresses import AZURE_API_VERSION, base_url_of, without_call
from app.runner.wire import ProviderSpec
from app.settings import MODEL_ORDER

KINDS = ("openai", "azure", "anthropic", "ollama")
"""What administrators may add; the bundled model comes by itself."""
RESERVED = frozenset({*MODEL_ORDER, "local"})
"""Names of the providers that the environment and the bundled model bring."""
OPTIONS = (
    "context_tokens", "max_reply_tokens", "stream", "structured_output", "function_calling", "prompt_price_usd",
    "reply_price_usd",
)  # fmt: skip
"""Fields of ProviderSpec that are kept together."""
_VERSION = re.compile(r"[0-9A-Za-z.-]{1,32}")
_MAX_NAME_CHARS = 60
_MAX_MODEL_CHARS = 200
_MAX_ADDRESS_CHARS = 500
_MAX_KEY_CHARS = 2000
_MAX_CONTEXT_TOKENS = 100_000_000
_MAX_PRICE_USD = 1_000_000


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """A provider's fields (but its key) as they may be stored: ``name``, ``kind``, ``model``, … and ``options``.

    :raises InvalidFields: for all that are wrong.
    """
    wrong: dict[str, str] = {}
    name, model = " ".join(str(values["name"]).split()), str(values["model"]).strip()
    if not 0 < len(name) <= _MAX_NAME_CHARS or not name.isprintable():
        wrong["name"] = f"1 to {_MAX_NAME_CHARS} characters, to know the provider by"
    elif name in RESERVED:
        wrong["name"] = "this is the name of a provider that comes by itself: choose another"
    if not 0 < len(model) <= _MAX_MODEL_CHARS or not model.isprintable():
        wrong["model"] = "the model's name is needed, as the provider knows it"
    kind = values["kind"]
    base_url = without_call((values.get("base_url") or "").strip()) or None
    if base_url is not None:
        problem = _address_problem(base_url)
        if problem:
            wrong["base_url"] = problem
    elif kind == "azure":
        wrong["base_url"] = "the resource's address is needed, https://NAME.openai.azure.com"
    api_version = (values.get("api_version") or "").strip() or None
    if api_version is not None and not _VERSION.fullmatch(api_version):
        wrong["api_version"] = f"as Azure names it, e.g. {AZURE_API_VERSION}"
    options = {each: values[each] for each in OPTIONS if values.get(each) is not None}
    wrong |= _wrong_options(options)
    if wrong:
        raise InvalidFields(wrong)
    return {
        "name": name,
        "kind": kind,
        "model": model,
        "base_url": base_url,
        "api_version": (api_version or AZURE_API_VERSION) if kind == "azure" else None,
        "options": options,
        "enabled": bool(values["enabled"]),
    }


def checked_key(entered: str) -> tuple[str | None, str | None]:
    """(key, name of a secret in the Key Vault) of what was entered; one of them is None, or both.

    :raises InvalidFields:
    """
    key = entered.strip()
    if key.startswith(PREFIX):
        name = secret_name(key)
        if name is None:
            raise InvalidFields({"api_key": f"{PREFIX} is followed by a secret's name: letters, digits and -"})
        return None, name
    if len(key) > _MAX_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidFields({"api_key": f"a key has ASCII characters only, at most {_MAX_KEY_CHARS}, and no space"})
    return key or None, None


def same_place(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two providers, by ``kind`` and ``base_url``, are the same server: a key is only sent where it belongs."""
    first, second = (_origin(base_url_of(each["kind"], each["base_url"])) for each in (one, other))
    return first == second


def _origin(address: str | None) -> tuple[str, str | None, int | None] | None:
    if address is None:
        return None
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port


def _address_problem(address: str) -> str | None:
    needed = "an address that begins with http:// or https:// is needed"
    if len(address) > _MAX_ADDRESS_CHARS or not address.isprintable() or " " in address:
        return needed
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return needed
    if not good:
        return needed
    if "@" in parts.netloc:
        return "no user and no password in it: a key belongs in its own field"
    if parts.query or parts.fragment or address.endswith(("?", "#")):
        return "an address without ? and #"
    return None


def _wrong_options(options: Mapping[str, Any]) -> dict[str, str]:
    wrong = {}
    try:
        ProviderSpec(name="x", kind="openai", model="x", **options)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            wrong[str(each["loc"][0])] = str(each["msg"])
    for name in ("prompt_price_usd", "reply_price_usd"):
        if name not in wrong and not options.get(name, 0) <= _MAX_PRICE_USD:
            wrong[name] = f"between 0 and {_MAX_PRICE_USD:,} US dollars for a million tokens"
    for name in ("context_tokens", "max_reply_tokens"):
        if name not in wrong and not 1 <= options.get(name, 1) <= _MAX_CONTEXT_TOKENS:
            wrong[name] = f"between 1 and {_MAX_CONTEXT_TOKENS}"
    return wrong

"""Stored providers: what is kept, what runs are given, what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from app.errors import NotFound
from app.operation.fields import InvalidFields
from app.store.database import Database
from tests.operation.conftest import SECRET, Server, entered

KEY = "sk-planted-1234567890-WXYZ"


def test_a_stored_provider_comes_before_those_of_the_environment(database: Database) -> None:
    """At once, with its key."""
    server = Server(database, openai_base_url="http://127.0.0.1:2/v1")
    made = server.providers.add(entered("Mine", context_tokens=4096), KEY, "root")
    assert server.names() == ["Mine", "openai"]
    spec = server.models.ready_providers()[0]
    assert (spec.api_key, spec.context_tokens, spec.label) == (KEY, 4096, "m")
    assert (made.key, made.key_hint, made.row.updated_by) == ("kept", "WXYZ", "root")


def test_no_environment_and_nothing_stored(server: Server) -> None:
    """Then nobody answers, and the sentence says where one may be entered."""
    assert server.names() == []
    assert "/settings" in str(server.models.problem())


def test_order_enabling_and_deletion(server: Server) -> None:
    """The list that runs are given follows."""
    ids = [server.providers.add(entered(name), None, "root").row.provider_id for name in ("a", "b", "c")]
    server.providers.order([ids[2], ids[0], ids[1]], "root")
    assert server.names() == ["c", "a", "b"]
    server.providers.change(ids[0], {"enabled": False}, None, "root")
    assert server.names() == ["c", "b"]
    server.providers.remove(ids[2])
    assert server.names() == ["b"]
    assert server.providers.add(entered("d"), None, "root").row.position == 3


@pytest.mark.parametrize("wrong", [[], ["nobody"], ["twice"]])
def test_an_order_names_each_provider_once(server: Server, wrong: list[str]) -> None:
    """Otherwise nothing has changed."""
    ids = [server.providers.add(entered(name), None, "root").row.provider_id for name in ("a", "b")]
    order = [ids[1], ids[1]] if wrong == ["twice"] else [ids[1], *wrong]
    with pytest.raises(InvalidFields):
        server.providers.order(order, "root")
    assert server.names() == ["a", "b"]


def test_another_process_takes_it_over(database: Database, server: Server) -> None:
    """When it looks the next time; and when nothing has changed, nothing happens."""
    other = Server(database)
    made = server.providers.add(entered("Mine"), KEY, "root")
    other.operation.refresh("due")
    assert other.models.ready_providers() == server.models.ready_providers()
    server.providers.remove(made.row.provider_id)
    other.operation.refresh("due")
    assert other.names() == []


def test_a_changed_secret_is_a_clear_state(database: Database, server: Server) -> None:
    """The provider is left out, the others stay; a key that is entered anew makes it whole."""
    made = server.providers.add(entered("Mine"), KEY, "root")
    server.providers.add(entered("Open"), None, "root")
    later = Server(database, secret="quite another signing key")
    later.operation.refresh()
    state = later.providers.get(made.row.provider_id)
    assert (state.key, state.key_hint) == ("unreadable", None)
    assert "enter the key again" in str(state.problem)
    assert later.names() == ["Open"]
    assert later.providers.change(made.row.provider_id, {}, KEY, "root").problem is None
    assert later.names() == ["Mine", "Open"]


def test_a_key_is_never_sent_to_another_address(server: Server) -> None:
    """Whoever changes where a provider leads has to enter its key again; a path of the same server is the same."""
    provider_id = server.providers.add(entered("Mine"), KEY, "root").row.provider_id
    with pytest.raises(InvalidFields) as refusal:
        server.providers.change(provider_id, {"base_url": "http://evil.example/v1"}, None, "root")
    assert list(refusal.value.fields) == ["api_key"]
    assert server.models.ready_providers()[0].base_url == "http://127.0.0.1:1/v1"
    server.providers.change(provider_id, {"base_url": "http://127.0.0.1:1/v2"}, None, "root")
    assert server.models.ready_providers()[0].api_key == KEY
    server.providers.change(provider_id, {"base_url": "http://other.example/v1"}, "sk-other", "root")
    assert server.models.ready_providers()[0].api_key == "sk-other"


def test_another_kind_is_another_address(server: Server) -> None:
    """What was entered for OpenAI's own server does not go to Anthropic's."""
    provider_id = server.providers.add(entered("Mine", base_url=None), KEY, "root").row.provider_id
    with pytest.raises(InvalidFields) as refusal:
        server.providers.change(provider_id, {"kind": "anthropic"}, None, "root")
    assert list(refusal.value.fields) == ["api_key"]
    changed = server.providers.change(provider_id, {"kind": "anthropic"}, "sk-ant", "root").spec
    assert changed is not None
    assert (changed.kind, changed.base_url, changed.api_key) == ("anthropic", "https://api.anthropic.com", "sk-ant")


def test_ollama_needs_no_key_and_knows_its_place(server: Server) -> None:
    """Also without an address; prices are kept as they were entered."""
    own = entered("Mine", kind="ollama", base_url=None, prompt_price_usd=0.5)
    spec = server.providers.add(own, None, "root").spec
    assert spec is not None
    assert (spec.base_url, spec.label) == ("http://127.0.0.1:11434/v1", "m (Ollama)")
    assert (spec.prompt_price_usd, spec.reply_price_usd) == (0.5, None)


def test_a_key_stays_until_it_is_replaced_or_forgotten(server: Server) -> None:
    """None leaves it, an empty one takes it away."""
    provider_id = server.providers.add(entered("Mine"), KEY, "root").row.provider_id
    assert server.providers.change(provider_id, {"model": "n"}, None, "root").key == "kept"
    assert server.providers.change(provider_id, {}, "", "root").key == "none"
    assert server.models.ready_providers()[0].api_key is None


def test_a_key_from_the_vault(database: Database) -> None:
    """Only the background asks the vault; until then the provider is left out, with a sentence."""
    server = Server(database, fetch=lambda _url, name: f"sk-of-{name}", azure_key_vault_url="https://v.example")
    made = server.providers.add(entered("Mine"), "keyvault:Team-Key", "root")
    assert (made.key, made.row.key_cipher, made.row.key_reference) == ("unavailable", None, "Team-Key")
    assert "being fetched" in str(made.problem)
    assert server.names() == []
    server.operation.refresh("due")
    assert server.models.ready_providers()[0].api_key == "sk-of-Team-Key"
    shown = server.providers.get(made.row.provider_id)
    assert (shown.key, shown.key_hint, shown.problem) == ("reference", None, None)


@pytest.mark.parametrize(
    ("changes", "key", "field"),
    [
        ({"name": " "}, None, "name"),
        ({"name": "openai"}, None, "name"),
        ({"name": "x" * 61}, None, "name"),
        ({"model": ""}, None, "model"),
        ({"base_url": "ftp://x"}, None, "base_url"),
        ({"base_url": "http://u:planted@x/v1"}, None, "base_url"),
        ({"base_url": "http://x/v1?key=planted"}, None, "base_url"),
        ({"base_url": "http://["}, None, "base_url"),
        ({"base_url": None}, None, "api_key"),
        ({"kind": "azure"}, None, "api_key"),
        ({"kind": "azure", "base_url": None}, KEY, "base_url"),
        ({"kind": "azure", "api_version": "?"}, KEY, "api_version"),
        ({"context_tokens": 1}, None, "context_tokens"),
        ({"context_tokens": 10**18}, None, "context_tokens"),
        ({"max_reply_tokens": 0}, None, "max_reply_tokens"),
        ({"prompt_price_usd": -1}, None, "prompt_price_usd"),
        ({"reply_price_usd": float("nan")}, None, "reply_price_usd"),
        ({"reply_price_usd": 1e9}, None, "reply_price_usd"),
        ({"kind": "anthropic"}, None, "api_key"),
        ({"name": "ollama"}, None, "name"),
        ({}, "two words", "api_key"),
        ({}, "sk-\N{SNOWMAN}", "api_key"),
        ({}, "keyvault:../x", "api_key"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    server: Server, changes: dict[str, Any], key: str | None, field: str
) -> None:
    """And never repeats what was entered; nothing is stored."""
    with pytest.raises(InvalidFields) as refusal:
        server.providers.add(entered("Mine", **changes), key, "root")
    assert list(refusal.value.fields) == [field]
    assert "planted" not in refusal.value.message
    assert server.providers.states() == []


def test_two_providers_do_not_share_a_name(server: Server) -> None:
    """Neither when one is added nor when one is renamed."""
    server.providers.add(entered("a"), None, "root")
    other = server.providers.add(entered("b"), None, "root").row.provider_id
    for attempt in (
        lambda: server.providers.add(entered("a"), None, "root"),
        lambda: server.providers.change(other, {"name": "a"}, None, "root"),
    ):
        with pytest.raises(InvalidFields, match="another provider has this name"):
            attempt()


def test_what_is_not_there_is_not_found(server: Server) -> None:
    """For all that names one."""
    for attempt in (
        lambda: server.providers.get("prv_0"),
        lambda: server.providers.change("prv_0", {}, None, "root"),
        lambda: server.providers.remove("prv_0"),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_the_key_is_nowhere_to_be_read(database: Database, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the files of the database, not in the log, not in what objects say of themselves."""
    caplog.set_level(logging.DEBUG)
    provider_id = server.providers.add(entered("Mine"), KEY, "root").row.provider_id
    server.providers.change(provider_id, {"model": "n"}, KEY, "root")
    shown = caplog.text + repr(server.providers.get(provider_id)) + repr(server.models.ready_providers())
    assert KEY not in shown
    assert SECRET not in shown
    files = [each.read_bytes() for each in Path(str(database.url.database)).parent.iterdir()]
    assert any(provider_id.encode() in content for content in files)
    assert not any(b"planted" in content for content in files)

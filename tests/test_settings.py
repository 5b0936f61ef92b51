"""Settings: where they come from, what is refused, and that no secret is shown."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.settings import Settings, SettingsError, describe_settings, load_settings

KEY = "a-random-key-of-some-length"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own variables must not be ours."""
    for name in list(os.environ):
        if name.lower() in Settings.model_fields or name.upper().startswith("COLLOQUY_"):
            monkeypatch.delenv(name)


def load(**overrides: Any) -> Settings:
    return load_settings(None, **overrides)


def refusal(env_file: Path | None = None, **overrides: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(env_file, **overrides)
    return str(caught.value)


# --- where they come from ---------------------------------------------------------------------------------------------


def test_defaults() -> None:
    """Loopback, eventlet, the numbers of FEATURES B1; no secret has one."""
    settings = load()
    assert (settings.host, settings.port, settings.async_mode) == ("127.0.0.1", 5000, "eventlet")
    assert (settings.stream_buffer_tokens, settings.stream_tokens_per_s) == (1000, 50)
    assert (settings.stream_high_water, settings.stream_low_water) == (0.8, 0.3)
    assert (settings.session_timeout_s, settings.heartbeat_s) == (300, 30)
    assert settings.secret_key is settings.openai_api_key is settings.azure_openai_api_key is None
    assert settings.max_content_bytes == 64 * 1024
    assert settings.max_frame_bytes == 256 * 1024
    assert not settings.websocket_compression
    assert not settings.fallback_local


def test_overrides_beat_the_environment_and_that_beats_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each where the stronger one is silent."""
    file = tmp_path / ".env"
    file.write_text("PORT=1001\nRUNNERS=2\nLOG_LEVEL=debug\n")
    monkeypatch.setenv("PORT", "1002")
    monkeypatch.setenv("runners", "3")
    settings = load_settings(file, port=1003)
    assert (settings.port, settings.runners, settings.log_level) == (1003, 3, "debug")


def test_a_missing_file_is_no_error_and_an_empty_value_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`PORT=` in a shell or a compose file means: not set."""
    monkeypatch.setenv("PORT", "")
    assert load_settings(tmp_path / "none.env").port == 5000


def test_foreign_variables_are_no_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is full of them."""
    monkeypatch.setenv("HOSTNAME", "box")
    monkeypatch.setenv("STREAM_OF_CONSCIOUSNESS", "1")
    load()


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """With or without blanks; JSON is not needed."""
    monkeypatch.setenv("CORS_ALLOWED_ORIGINS", "https://a.example, https://b.example,")
    monkeypatch.setenv("TEAMS", "mine=my_teams:make")
    settings = load()
    assert settings.cors_allowed_origins == ("https://a.example", "https://b.example")
    assert settings.teams == ("mine=my_teams:make",)


# --- what is refused --------------------------------------------------------------------------------------------------


def test_unknown_names_are_refused_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file, in the environment under our prefix, and as override."""
    file = tmp_path / ".env"
    file.write_text("STREAM_TOKENS_PERS=5\n")
    assert refusal(file) == "STREAM_TOKENS_PERS is not a setting; did you mean STREAM_TOKENS_PER_S?"
    assert "did you mean HEARTBEAT_S?" in refusal(heartbeats=1)
    monkeypatch.setenv("COLLOQUY_WIZARDRY", "1")
    assert "COLLOQUY_WIZARDRY is not a setting" in refusal()


def test_several_mistakes_are_told_at_once() -> None:
    """A line for each."""
    lines = refusal(port=70_000, runners=0, async_mode="twisted").splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == ["ASYNC_MODE", "PORT", "RUNNERS"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "-1"),
        ("port", "65536"),
        ("port", "http"),
        ("async_mode", "asyncio"),
        ("colloquy_env", "prod"),
        ("log_level", "loud"),
        ("max_content_bytes", "0"),
        ("max_frame_bytes", "1023"),
        ("max_queued_commands", "0"),
        ("max_running_sessions", "0"),
        ("max_conversations", "0"),
        ("stream_buffer_tokens", "0"),
        ("stream_tokens_per_s", "-0.1"),
        ("stream_high_water", "0"),
        ("stream_high_water", "1.01"),
        ("stream_low_water", "-0.1"),
        ("stream_low_water", "1"),
        ("session_timeout_s", "0"),
        ("heartbeat_s", "0"),
        ("runners", "65"),
        ("runner_restarts", "-1"),
        ("local_model_slots", "17"),
        ("model_context_tokens", "100"),
        ("websocket_compression", "perhaps"),
        ("max_checkpoint_bytes", "1000"),
        ("colloquy_url", "nonsense"),
        ("on_abandoned", "debate=stop:60,debate=pause:5"),
        ("teams", "no-function"),
        ("teams", "=a:b"),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment, where everything is a string; the sentence begins with the setting's name."""
    monkeypatch.setenv(name.upper(), value)
    assert refusal().startswith(f"{name.upper()}: ")


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"stream_low_water": 0.8}, "STREAM_LOW_WATER"),
        ({"stream_high_water": 0.2}, "STREAM_LOW_WATER"),
        ({"max_content_bytes": 100_000, "max_history_bytes": 90_000}, "MAX_HISTORY_BYTES"),
        ({"max_log_bytes": 2_000_000, "max_total_log_bytes": 1_000_000}, "MAX_TOTAL_LOG_BYTES"),
        ({"catch_up_batch_bytes": 300_000}, "UNACKED_WINDOW_BYTES"),
        ({"catch_up_batch_bytes": 100_000, "client_queue_bytes": 70_000}, "CLIENT_QUEUE_BYTES"),
        ({"azure_openai_endpoint": "https://x.openai.azure.com"}, "AZURE_OPENAI_DEPLOYMENT"),
        (
            {"azure_openai_endpoint": "https://x.openai.azure.com", "azure_openai_deployment": "d"},
            "AZURE_OPENAI_API_KEY",
        ),
    ],
)
def test_contradictions_are_refused(overrides: dict[str, Any], named: str) -> None:
    """Settings that are right one by one, and wrong together."""
    assert named in refusal(**overrides)


@pytest.mark.parametrize("exposure", [{"colloquy_env": "production"}, {"host": "0.0.0.0"}, {"host": "192.0.2.1"}])
def test_an_exposed_server_needs_a_key_and_named_origins(exposure: dict[str, Any]) -> None:
    """In production, and on any address but loopback."""
    (why,) = exposure.values()
    assert "SECRET_KEY" in refusal(**exposure)
    assert why in refusal(**exposure)
    assert "SECRET_KEY" in refusal(**exposure, secret_key="short")
    assert "CORS_ALLOWED_ORIGINS" in refusal(**exposure, secret_key=KEY, cors_allowed_origins="*")
    assert "CORS_ALLOWED_ORIGINS" in refusal(**exposure, secret_key=KEY, cors_allowed_origins="https://a.example,*")
    assert load(**exposure, secret_key=KEY, cors_allowed_origins="https://a.example").secret_key is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_loopback_nothing_is_needed(host: str) -> None:
    """Not even a key: the server makes one, and keeps it."""
    assert load(host=host, cors_allowed_origins="*").secret_key is None


def test_keys_travel_by_tls() -> None:
    """But on this machine; and a token of anybody else's is never taken."""
    assert "https" in refusal(jwt_jwks_url="http://keys.example/jwks.json", jwt_issuer="https://keys.example")
    assert "JWT_ISSUER" in refusal(jwt_jwks_url="https://keys.example/jwks.json")
    load(jwt_jwks_url="http://127.0.0.1:9/jwks.json", jwt_issuer="x")


def test_an_identity_travels_by_tls_only() -> None:
    """Azure's library refuses anything else, but not before a key is needed."""
    assert "AZURE_KEY_VAULT_URL needs https" in refusal(azure_key_vault_url="http://name.vault.azure.net")
    load(azure_key_vault_url="https://name.vault.azure.net")


def test_nobody_is_the_guest_behind_a_proxy() -> None:
    """There, everybody comes from this machine."""
    assert load().guests_welcome()
    assert not load(trusted_proxies=1).guests_welcome()
    assert not load(guest_access=False).guests_welcome()


def test_settings_cannot_be_changed() -> None:
    """Parsed once."""
    with pytest.raises(ValidationError, match="frozen"):
        load().port = 1  # type: ignore[misc]  # that is the point


# --- secrets ----------------------------------------------------------------------------------------------------------


SECRETS = {
    "secret_key": "secret-one-of-some-length",
    "openai_api_key": "sk-secret-two",
    "azure_openai_api_key": "secret-three",
}


def with_secrets() -> Settings:
    return load(
        **SECRETS, azure_openai_endpoint="https://x.openai.azure.com", azure_openai_deployment="d", openai_model="m"
    )


def test_no_secret_is_shown() -> None:
    """Not in repr, str or format, not in JSON, and not in what is made of the settings."""
    settings = with_secrets()
    shown = [repr(settings), str(settings), f"{settings}", settings.model_dump_json(), str(settings.model_dump())]
    shown += [repr(settings.configured_providers()), str(settings.configured_providers()[0])]
    shown += [repr(settings.run_limits())]
    for text in shown:
        assert not [secret for secret in SECRETS.values() if secret in text]


@pytest.mark.parametrize("name", SECRETS)
def test_no_refusal_shows_a_secret(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the sentence nor what a crash would print."""
    monkeypatch.setenv(name.upper(), SECRETS[name])
    monkeypatch.setenv("PORT", "nonsense")
    monkeypatch.setenv("HOST", "0.0.0.0")
    with pytest.raises(SettingsError) as caught:
        load()
    printed = "".join(traceback.format_exception(caught.value))
    assert SECRETS[name] not in printed
    assert "PORT" in printed


def test_every_secret_is_declared_as_one() -> None:
    """A key or password that is a plain string would be printed."""
    for name, field in Settings.model_fields.items():
        if name.endswith(("_key", "_secret", "_password", "_token")):
            assert "SecretStr" in str(field.annotation), name


# --- what is made of them ---------------------------------------------------------------------------------------------


def test_providers_in_order_of_preference() -> None:
    """OpenAI-compatible first, then Azure; none by default."""
    assert load().configured_providers() == ()
    openai, azure = with_secrets().configured_providers()
    assert (openai.kind, openai.model, openai.api_key) == ("openai", "m", SECRETS["openai_api_key"])
    assert (azure.kind, azure.model, azure.base_url) == ("azure", "d", "https://x.openai.azure.com")
    (ollama,) = load(openai_base_url="http://127.0.0.1:11434/v1", openai_model="llama").configured_providers()
    assert (ollama.api_key, ollama.base_url, ollama.label) == (None, "http://127.0.0.1:11434/v1", "llama")


def test_limits_of_a_run_are_the_settings() -> None:
    """Those that a runner obeys."""
    limits = load(first_token_timeout_s=7, word_delay_ms=3).run_limits()
    assert (limits.first_token_timeout_s, limits.word_delay_ms) == (7, 3)


def test_every_setting_is_described() -> None:
    """In the table's order, with its default; secrets and empty ones have none."""
    rows = {name: (default, meaning) for name, default, meaning in describe_settings()}
    assert list(rows) == [name.upper() for name in Settings.model_fields]
    assert all(meaning for _, meaning in rows.values())
    assert rows["PORT"][0] == "5000"
    assert rows["SECRET_KEY"][0] == rows["TEAMS"][0] == ""


def test_rules_for_abandoned_runs() -> None:
    """`team=action:seconds`, and nothing else."""
    settings = load_settings(None, on_abandoned="debate=stop:60, *=pause:0.5")
    rules = settings.abandoned_rules()
    assert (rules["debate"].action, rules["debate"].after_s) == ("stop", 60)
    assert (rules["*"].action, rules["*"].after_s) == ("pause", 0.5)
    for wrong in ("debate", "debate=stop", "debate=kill:60", "debate=stop:-1", "=stop:60", "debate=stop:soon"):
        with pytest.raises(SettingsError, match="team=stop:60"):
            load_settings(None, on_abandoned=wrong)


def test_pings_must_fit_into_the_time_of_slow_clients() -> None:
    """Else a silent client would outlive it."""
    with pytest.raises(SettingsError, match="PING_INTERVAL_S"):
        load_settings(None, ping_interval_s=25.0)


def test_providers_of_the_environment_in_the_order_that_is_wished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its address, its price and the limits of all."""
    settings = load_settings(
        None, openai_api_key="sk-o", azure_openai_api_key="az", azure_openai_endpoint="https://n.openai.azure.com",
        azure_openai_deployment="d", anthropic_api_key="sk-ant", ollama_model="llama3.2", ollama_host="box",
        model_order="ollama,anthropic", model_prices="azure=2.5/10, ollama=0/1", max_reply_tokens=500,
    )  # fmt: skip
    found = settings.configured_providers()
    assert [each.name for each in found] == ["ollama", "anthropic", "openai", "azure"]
    assert [each.kind for each in found] == ["ollama", "anthropic", "openai", "azure"]
    addresses = [each.base_url for each in found]
    assert addresses == ["http://box:11434/v1", "https://api.anthropic.com", None, "https://n.openai.azure.com"]
    assert [(each.prompt_price_usd, each.reply_price_usd) for each in found] == [
        (0, 1),
        (None, None),
        (None, None),
        (2.5, 10),
    ]
    assert {each.max_reply_tokens for each in found} == {500}
    assert found[1].label == "claude-haiku-4-5"
    assert "sk-ant" not in repr(settings) + repr(found)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model_order": "openai,claude"}, "MODEL_ORDER: 'claude' is none of openai, azure, anthropic, ollama"),
        ({"model_prices": "openai=1"}, "MODEL_PRICES: 'openai=1' is not of the form openai=0.15/0.60"),
        ({"model_prices": "openai=-1/1"}, "is not of the form"),
        ({"model_prices": "openai=nan/1"}, "is not of the form"),
        ({"ollama_host": "http://box:port"}, "OLLAMA_HOST: a host, a port or an address is needed"),
        ({"anthropic_api_key": "schlüssel"}, "ANTHROPIC_API_KEY: a key has ASCII characters only"),
    ],
)
def test_what_is_wrong_with_a_providers_setting_is_told(given: dict[str, str], told: str) -> None:
    """In a sentence."""
    with pytest.raises(SettingsError, match=re.escape(told)):
        load_settings(None, **given)

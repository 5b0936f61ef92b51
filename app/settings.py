"""The one table of settings: name, type, default, unit, meaning. Parsed and checked once, at the start.

Each setting comes from the environment or from a ``.env`` file beside ``run.py`` (the environment wins), under the
field's name in capitals. An unknown name in ``.env``, or one that starts with ``COLLOQUY_`` anywhere, is refused.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.providers.addresses import ANTHROPIC_BASE_URL, AZURE_API_VERSION, ollama_url, without_call
from app.runner.wire import Limits, OnAbandoned, ProviderSpec

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
_MODEL_ADDRESSES = ("openai_base_url", "azure_openai_endpoint", "anthropic_base_url")
MODEL_ORDER = ("openai", "azure", "anthropic", "ollama")
"""The providers that the environment may configure, in the order in which they are asked."""


class SettingsError(ValueError):
    """A setting is unknown, malformed or contradicts another. The message names it and says what is right."""


class Settings(BaseSettings):
    """All settings. Construct with :func:`load_settings`, which turns errors into sentences."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8", extra="forbid", frozen=True, env_ignore_empty=True, allow_inf_nan=False
    )

    # --- the server
    host: str = Field("127.0.0.1", description="address to listen on; another one than loopback needs SECRET_KEY")
    port: int = Field(5000, ge=0, le=65535, description="port to listen on; 0: any free one")
    colloquy_env: Literal["development", "production"] = Field(
        "development", description="`production` refuses to start without SECRET_KEY and with `*` origins"
    )
    secret_key: SecretStr | None = Field(
        None,
        description="signs cookies and encrypts stored provider keys; in development one is made where there is "
        "none, and kept in DATA_DIR",
    )
    async_mode: Literal["eventlet", "gevent", "threading"] = Field(
        "eventlet", description="how the server runs many connections at once"
    )
    cors_allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="further origins whose pages may use this server, separated by commas; default: this server's own",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="further host names, separated by commas, under which this server may be addressed"
    )
    colloquy_url: str = Field(
        "http://127.0.0.1:5000", description="where the command line, `flask colloquy`, finds the server"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what the server's log shows")
    data_dir: Path = Field(Path("instance"), description="folder for what the server writes")
    websocket_compression: bool = Field(
        False, description="accept permessage-deflate: half again the CPU, 90 kB more memory per connection"
    )

    # --- the store
    database_url: SecretStr | None = Field(
        None,
        description="`sqlite:///path` or `postgresql://user:password@host/name`; default: colloquy.sqlite3 in DATA_DIR",
    )
    max_unsaved_bytes: int = Field(
        268_435_456,
        ge=1_000_000,
        description="what may wait in memory while the database is away, in bytes; beyond, the oldest is lost",
    )
    retention_days: float = Field(
        0.0, ge=0, description="ended conversations that nobody has changed for so long are deleted, in days; 0: never"
    )
    retention_conversations: int = Field(
        0, ge=0, description="ended conversations kept of each owner; the oldest beyond are deleted; 0: all are kept"
    )
    resume_after_crash: bool = Field(
        True,
        description="runs that the server died under go on from their last finished turn when it starts again;"
        " a team that cannot begins again with what was said",
    )

    # --- people
    guest_access: bool = Field(
        True,
        description="who comes from this machine and has not signed in is the guest; development on loopback only",
    )
    registration: Literal["open", "closed", "auto"] = Field(
        "auto", description="who may register: everybody, nobody; `auto`: open in development, closed in production"
    )
    sign_in_hours: float = Field(336.0, gt=0, description="how long a sign-in lasts, in hours")
    admin_users: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="ids or logins of people who are administrators, separated by commas"
    )
    jwt_secret: SecretStr | None = Field(None, description="secret of HS256 tokens, of at least 32 bytes")
    jwt_jwks_url: str | None = Field(None, description="where the public keys of RS256 and ES256 tokens lie (JWKS)")
    jwt_issuer: str | None = Field(None, description="the `iss` that a token must carry; needed with JWT_JWKS_URL")
    jwt_audience: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="the `aud` that a token must carry, one of these; default: it is not looked at"
    )
    jwt_authorized_parties: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="the origins (`azp`) whose tokens are taken, separated by commas; default: all"
    )
    jwt_tenant_claim: str = Field(
        "enterprise_id", description="the claim that carries a tenant; a dot leads into an object, as in Clerk's `o.id`"
    )
    jwt_leeway_s: float = Field(5.0, ge=0, le=60, description="tolerance for clocks that differ, in seconds")
    auth_expiring_s: float = Field(
        60.0, gt=0, description="a live connection is told so long before its sign-in ends, in seconds"
    )
    trusted_proxies: int = Field(
        0, ge=0, le=10, description="proxies in front of this server whose X-Forwarded-* headers are believed"
    )
    audit_days: float = Field(365.0, ge=0, description="how long the audit log keeps an entry, in days; 0: for ever")
    azure_key_vault_url: str | None = Field(
        None, description="an Azure Key Vault from which provider keys may be taken, https://NAME.vault.azure.net"
    )

    # --- limits of a person and an address; the guest of this machine has none of them
    max_connections_per_user: int = Field(200, ge=0, description="connections of one person at once; 0: unlimited")
    max_connections_per_address: int = Field(
        500, ge=0, description="connections from one address at once, loopback excepted; 0: unlimited"
    )
    max_running_per_user: int = Field(20, ge=0, description="runs of one person at once; 0: unlimited")
    max_tokens_per_day: int = Field(
        0, ge=0, description="tokens that one person's runs may spend on a day (UTC); then they end; 0: unlimited"
    )
    max_tokens_per_conversation: int = Field(
        0,
        ge=0,
        description="tokens that one conversation may spend in all, prompts included; then its run ends with "
        "`budget_exhausted`; 0: unlimited",
    )
    max_requests_per_minute: int = Field(
        1200, ge=0, description="HTTP requests of one person, or one address, in a minute; 0: unlimited"
    )
    max_sign_ins_per_minute: int = Field(
        10,
        ge=1,
        description="attempts to sign in or register from one address in a minute; at one login from all: ten times",
    )
    max_bad_tokens_per_minute: int = Field(
        100, ge=1, description="tokens that are no good, from one address in a minute; further ones are not looked at"
    )

    # --- limits
    max_content_bytes: int = Field(65_536, ge=1, description="longest content of a command, in bytes of UTF-8")
    max_frame_bytes: int = Field(262_144, ge=1024, description="longest incoming frame or HTTP body, in bytes")
    max_history_bytes: int = Field(
        1_048_576, ge=1024, description="longest body of an AG-UI request, which carries the whole thread, in bytes"
    )
    max_queued_commands: int = Field(
        32, ge=1, description="commands of one connection that may wait; more are refused with `limit_exceeded`"
    )
    max_running_sessions: int = Field(200, ge=1, description="runs at once; a further start gets `limit_exceeded`")
    max_conversations: int = Field(
        1000,
        ge=1,
        description="conversations in memory; beyond, the ended and unwatched one not asked for longest leaves it",
    )
    max_messages_per_conversation: int = Field(
        500, ge=10, description="messages that a snapshot keeps; older ones are counted as omitted"
    )
    max_message_chars: int = Field(
        67_108_864, ge=1000, description="a message that grows beyond ends its run with `message_too_long`"
    )
    max_conversation_chars: int = Field(
        8_000_000, ge=10_000, description="text that a snapshot keeps; older messages are counted as omitted"
    )
    conversation_linger_s: float = Field(
        600.0, ge=0, description="how long an ended conversation that nobody watches stays in memory, in seconds"
    )
    max_checkpoint_bytes: int = Field(
        16_777_216,
        ge=1024,
        description="a team's state after a turn; a larger one is not kept, and its run is resumed from the messages",
    )
    max_artifact_bytes: int = Field(
        4_194_304,
        ge=1024,
        le=67_108_864,
        description="one picture, or one tool's whole answer; a larger picture is a failed tool, of an answer the end"
        " is cut off",
    )
    max_artifacts: int = Field(
        200, ge=0, description="pictures and whole answers that one run may have kept; further ones are not"
    )
    tool_timeout_s: float = Field(
        30, gt=0, le=3600, description="how long a bundled tool may take; then it has failed, and its agent goes on"
    )
    mcp_servers: str = Field(
        "",
        description='the path of a JSON file with MCP servers, in the usual shape: `{"mcpServers": {"name": {…}}}`;'
        " their tools are given to the market team, and to teams that ask for them; needs the package mcp",
    )
    market_data: str = Field(
        "",
        description="where the finance tools' prices come from: `module:function`, called without arguments, returns an"
        " `app.tools.market.MarketData`; empty: the packaged figures of five shares, 2000 to 2010",
    )
    coingecko_url: str = Field(
        "https://api.coingecko.com/api/v3",
        description="where the prices of cryptocurrencies come from: CoinGecko, or an API like it",
    )
    max_log_entries: int = Field(20_000, ge=10, description="entries that one conversation's log keeps for replay")
    max_log_bytes: int = Field(4_194_304, ge=10_000, description="bytes that one conversation's log keeps for replay")

    max_total_log_bytes: int = Field(
        536_870_912,
        ge=1_000_000,
        description="bytes that all logs keep together; beyond, whole logs go, of ended, unwatched conversations first",
    )

    # --- readers: nobody waits for a slow one, and nothing grows with it
    max_connections: int = Field(10_000, ge=1, description="connections at once, of all kinds; more are refused")
    max_followed_conversations: int = Field(100, ge=1, description="conversations that one connection may follow")
    max_commands_per_s: float = Field(
        50.0, ge=0, description="commands of one connection per second, twice as many in a burst; 0: unlimited"
    )
    client_queue_bytes: int = Field(
        1_048_576,
        ge=65_536,
        description="bytes that may wait for one connection beside one packet; who leaves more is cut off",
    )
    socket_send_buffer_bytes: int = Field(
        131_072,
        ge=0,
        description="the kernel's send buffer of a connection, in bytes; 0: the kernel decides",
    )
    catch_up_batch_bytes: int = Field(65_536, ge=1024, description="bytes that a lagging reader is sent at once")
    catch_up_interval_s: float = Field(
        0.25, ge=0, description="a reader that lags is sent at most one batch in this time, in seconds"
    )
    unacked_window_bytes: int = Field(
        262_144, ge=65_536, description="bytes that a reader which acknowledges may leave unacknowledged before it lags"
    )
    slow_client_timeout_s: float = Field(
        30.0, gt=0, description="a client that takes nothing for so long, while something waits for it, is cut off"
    )
    ping_interval_s: float = Field(20.0, gt=0, description="interval of Engine.IO's pings, in seconds")
    ping_timeout_s: float = Field(10.0, gt=0, description="a client that does not answer one in this time is gone")
    http_silence_s: float = Field(
        75.0,
        gt=0,
        description="an HTTP connection is closed that brings no whole request in this time, in seconds",
    )
    idle_ping_s: float = Field(
        300.0, gt=0, description="a plain WebSocket client that has said nothing for so long is pinged, in seconds"
    )
    on_abandoned: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="what happens to runs that nobody watches: `team=stop:60` or `team=pause:60`, separated by commas; "
        "seconds after the last reader left; `*` is every other team; default: they go on",
    )

    # --- streaming (FEATURES B1)
    stream_buffer_tokens: int = Field(1000, ge=1, description="capacity of a session's token buffer, in tokens")
    stream_tokens_per_s: float = Field(50.0, ge=0, description="pace of a conversation in tokens/s; 0: unlimited")
    stream_high_water: float = Field(0.8, gt=0, le=1, description="fill at which reading from the model pauses")
    stream_low_water: float = Field(0.3, ge=0, lt=1, description="fill at which it goes on")
    session_timeout_s: float = Field(
        300.0, gt=0, description="a session without any event for so long ends, in seconds"
    )
    pause_timeout_s: float = Field(3600.0, gt=0, description="a session paused for so long ends, in seconds")
    input_timeout_s: float = Field(
        300.0,
        ge=0,
        description="an agent waits so long for a person, then it goes on without, in seconds; 0: as long as it takes",
    )
    max_queued_messages: int = Field(
        10,
        ge=1,
        le=100,
        description="messages that may wait in one conversation while its agents talk",
    )
    heartbeat_s: float = Field(30.0, gt=0, description="interval of heartbeats in watched rooms, in seconds")

    # --- runners
    runners: int = Field(1, ge=1, le=64, description="agent processes for the bundled teams")
    runner_restarts: int = Field(2, ge=0, description="how often one session is resumed after its runner died")
    teams: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="your teams, separated by commas: `name=module:function`, called as `function(model_client)`"
    )
    runners_per_team: int = Field(
        2, ge=1, le=64, description="agent processes for each team of yours, as far as it has something to do"
    )
    runner_silence_s: float = Field(
        60.0,
        ge=0,
        description="an agent process whose event loop answers nothing for so long is killed, and its runs go on in "
        "others, in seconds; 0: never",
    )
    teams_dir: Path = Field(
        Path("teams"),
        description="folder whose JSON and YAML files are teams: AutoGen Studio's exports, and rounds of prompts",
    )
    allow_team_code: bool = Field(
        False,
        description="whether exports of AutoGen Studio may bring code: functions, code executors, MCP servers, "
        "browsers, classes of your own",
    )
    team_load_timeout_s: float = Field(
        30.0, gt=0, description="a team whose code has not built it after so long is told as broken, in seconds"
    )

    # --- models
    openai_api_key: SecretStr | None = Field(None, description="key of the OpenAI-compatible provider")
    openai_base_url: str | None = Field(
        None, description="its address, e.g. http://127.0.0.1:11434/v1 for Ollama; default: OpenAI's own"
    )
    openai_model: str = Field("gpt-4o-mini", description="its model")
    azure_openai_api_key: SecretStr | None = Field(None, description="key of the Azure OpenAI resource")
    azure_openai_endpoint: str | None = Field(None, description="its address, https://NAME.openai.azure.com")
    azure_openai_deployment: str | None = Field(None, description="name of the deployment")
    azure_openai_api_version: str = Field(AZURE_API_VERSION, description="its API version")
    anthropic_api_key: SecretStr | None = Field(None, description="key of Anthropic's API")
    anthropic_base_url: str | None = Field(None, description="its address; default: Anthropic's own")
    anthropic_model: str = Field("claude-haiku-4-5", description="its model")
    ollama_model: str | None = Field(None, description="model of an Ollama server; without it, none is asked")
    ollama_host: str | None = Field(
        None, description="where that server is, as Ollama itself takes it; default: http://127.0.0.1:11434"
    )
    model_order: Annotated[tuple[str, ...], NoDecode] = Field(
        MODEL_ORDER, description="which of these is asked first, and who goes on when it fails; the unnamed come last"
    )
    model_prices: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="US dollars for a million tokens read and written, where the price list is wrong or knows nothing: "
        "`openai=0.15/0.60`, separated by commas",
    )
    max_reply_tokens: int = Field(
        0, ge=0, description="longest reply of a configured model, in tokens; 0: the provider's own limit"
    )
    circuit_failures: int = Field(
        5, ge=0, description="failures in a row after which a provider is passed over for a while; 0: never"
    )
    circuit_window_s: float = Field(60.0, gt=0, description="the time in which they have to happen, in seconds")
    circuit_open_s: float = Field(
        30.0, gt=0, description="how long it is passed over, in seconds; then one request tries it again"
    )
    model_context_tokens: int = Field(
        32_768, ge=512, description="context of the configured model, in tokens; longer histories are condensed"
    )
    model_stream: bool = Field(True, description="false: the model answers whole, and replies come word by word")
    model_structured_output: bool = Field(True, description="whether the configured model obeys a JSON schema")
    local_model: bool = Field(True, description="run the bundled small model when no other is configured")
    local_model_slots: int = Field(2, ge=1, le=16, description="replies that the bundled model writes at once")
    local_model_threads: int = Field(
        0, ge=0, description="threads of the bundled model; 0: one core is left to the others"
    )
    fallback_local: bool = Field(False, description="let the bundled model stand in for a configured one that fails")
    probe_after_s: float = Field(1.0, gt=0, description="silence after which a model is probed, in seconds")
    probe_timeout_s: float = Field(0.7, gt=0, description="how long a probe may take, in seconds")
    first_token_timeout_s: float = Field(60.0, gt=0, description="wait for a living model's first token, in seconds")
    stall_timeout_s: float = Field(30.0, gt=0, description="wait for a living model in mid-stream, in seconds")
    word_delay_ms: float = Field(20.0, ge=0, description="delay between the words of a reply that came whole, in ms")
    demo_tokens_per_s: float = Field(25.0, gt=0, description="pace of demo scripts, in words/s")

    @field_validator(
        "cors_allowed_origins",
        "allowed_hosts",
        "teams",
        "on_abandoned",
        "admin_users",
        "jwt_audience",
        "jwt_authorized_parties",
        "model_order",
        "model_prices",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("openai_api_key", "azure_openai_api_key", "anthropic_api_key", mode="before")
    @classmethod
    def _key(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.strip()
            if not value.isascii():
                raise ValueError("a key has ASCII characters only")
        return value or None

    @field_validator(
        *_MODEL_ADDRESSES,
        "colloquy_url",
        "jwt_jwks_url",
        "azure_key_vault_url",
        "coingecko_url",
    )
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parts = urlsplit(value)
                good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
            except ValueError:
                good = False
            if not good:
                raise ValueError("an address that begins with http:// or https:// is needed")
        return value

    @field_validator(*_MODEL_ADDRESSES)
    @classmethod
    def _model_address(cls, value: str | None) -> str | None:
        return without_call(value) if value is not None else None

    @field_validator("ollama_host")
    @classmethod
    def _ollama_host(cls, value: str | None) -> str | None:
        try:
            ollama_url(value)
        except ValueError:
            raise ValueError("a host, a port or an address is needed, as in http://127.0.0.1:11434") from None
        return value

    @field_validator("model_order")
    @classmethod
    def _known_providers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in MODEL_ORDER:
                raise ValueError(f"{name!r} is none of {', '.join(MODEL_ORDER)}")
        return tuple(dict.fromkeys((*value, *MODEL_ORDER)))

    @field_validator("model_prices")
    @classmethod
    def _price_entries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            parse_price(entry)
        return value

    @field_validator("teams")
    @classmethod
    def _team_entries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            name, _, factory = entry.partition("=")
            if not name or ":" not in factory:
                raise ValueError(f"{entry!r} is not of the form name=module:function")
        return value

    @field_validator("on_abandoned")
    @classmethod
    def _abandoned_entries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        teams = [parse_on_abandoned(entry)[0] for entry in value]
        for team in teams:
            if teams.count(team) > 1:
                raise ValueError(f"there are two rules for {team}")
        return value

    @model_validator(mode="after")
    def _relations(self) -> Settings:
        if self.stream_low_water >= self.stream_high_water:
            raise ValueError("STREAM_LOW_WATER must be below STREAM_HIGH_WATER")
        if self.max_content_bytes >= self.max_frame_bytes:
            raise ValueError("MAX_CONTENT_BYTES must be below MAX_FRAME_BYTES: content travels inside a frame")
        if self.max_content_bytes >= self.max_history_bytes:
            raise ValueError("MAX_CONTENT_BYTES must be below MAX_HISTORY_BYTES: content travels in a thread")
        if self.max_log_bytes > self.max_total_log_bytes:
            raise ValueError("MAX_LOG_BYTES must not exceed MAX_TOTAL_LOG_BYTES: one log is a part of all")
        for most in ("unacked_window_bytes", "client_queue_bytes"):
            if self.catch_up_batch_bytes > getattr(self, most):
                raise ValueError(f"CATCH_UP_BATCH_BYTES must not exceed {most.upper()}: a batch has to fit into it")
        if self.ping_interval_s + self.ping_timeout_s > self.slow_client_timeout_s:
            raise ValueError("PING_INTERVAL_S and PING_TIMEOUT_S together must not exceed SLOW_CLIENT_TIMEOUT_S")
        if self.jwt_secret is not None and len(self.jwt_secret.get_secret_value().encode()) < 32:
            raise ValueError("JWT_SECRET needs at least 32 bytes")
        if self.jwt_jwks_url is not None and self.jwt_issuer is None:
            raise ValueError("JWT_JWKS_URL needs JWT_ISSUER beside it: a token of anybody else's must not be taken")
        keys = urlsplit(self.jwt_jwks_url or "")
        if keys.scheme == "http" and keys.hostname not in LOOPBACK_HOSTS:
            raise ValueError("JWT_JWKS_URL needs https: whoever could change the keys on their way could be anybody")
        if self.azure_key_vault_url is not None and urlsplit(self.azure_key_vault_url).scheme != "https":
            raise ValueError("AZURE_KEY_VAULT_URL needs https: nothing else is sent an identity")
        exposed = self.host not in LOOPBACK_HOSTS
        if exposed or self.colloquy_env == "production":
            why = f"HOST is {self.host}" if exposed else "COLLOQUY_ENV is production"
            if self.secret_key is None or len(self.secret_key.get_secret_value()) < 16:
                raise ValueError(f"{why}: SECRET_KEY is needed, of at least 16 random characters")
            if "*" in self.cors_allowed_origins:
                raise ValueError(f"{why}: CORS_ALLOWED_ORIGINS must name origins, not *")
        if self.azure_openai_api_key and not self.azure_openai_endpoint:
            raise ValueError("AZURE_OPENAI_API_KEY needs AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_DEPLOYMENT beside it")
        if self.azure_openai_endpoint and not (self.azure_openai_deployment and self.azure_openai_api_key):
            raise ValueError("AZURE_OPENAI_ENDPOINT needs AZURE_OPENAI_DEPLOYMENT and AZURE_OPENAI_API_KEY beside it")
        return self

    def database_address(self) -> str:
        """DATABASE_URL, or the file in DATA_DIR."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.resolve() / 'colloquy.sqlite3'}"

    def teams_folder(self, project: Path) -> Path:
        """TEAMS_DIR; a relative one lies beside ``run.py``."""
        return project / self.teams_dir

    def guests_welcome(self) -> bool:
        """Whether somebody on this machine who has not signed in is the guest."""
        alone = self.host in LOOPBACK_HOSTS and not self.trusted_proxies  # behind a proxy, everybody is near
        return self.guest_access and self.colloquy_env == "development" and alone

    def may_register(self) -> bool:
        """Whether people may make accounts by themselves."""
        if self.registration == "auto":
            return self.colloquy_env == "development"
        return self.registration == "open"

    def configured_providers(self) -> tuple[ProviderSpec, ...]:
        """The providers that the operator configured, in order of preference; empty when there is none."""
        found = {"openai": self._openai(), "azure": self._azure(), "anthropic": self._anthropic()}
        found["ollama"] = self._ollama()
        prices = {name: (prompt, reply) for name, prompt, reply in map(parse_price, self.model_prices)}
        shared: dict[str, Any] = {
            "context_tokens": self.model_context_tokens,
            "max_reply_tokens": self.max_reply_tokens or None,
            "stream": self.model_stream,
            "structured_output": self.model_structured_output,
        }
        specs = []
        for name in self.model_order:
            own = found[name]
            if own is not None:
                prompt, reply = prices.get(name, (None, None))
                own = {"label": own["model"], "prompt_price_usd": prompt, "reply_price_usd": reply, **own}
                specs.append(ProviderSpec(name=name, **shared, **own))
        return tuple(specs)

    def _openai(self) -> dict[str, Any] | None:
        if not (self.openai_api_key or self.openai_base_url):
            return None
        key = self.openai_api_key.get_secret_value() if self.openai_api_key else None
        return {"kind": "openai", "model": self.openai_model, "base_url": self.openai_base_url, "api_key": key}

    def _azure(self) -> dict[str, Any] | None:
        if not (self.azure_openai_endpoint and self.azure_openai_deployment and self.azure_openai_api_key):
            return None
        return {
            "kind": "azure",
            "model": self.azure_openai_deployment,
            "base_url": self.azure_openai_endpoint,
            "api_key": self.azure_openai_api_key.get_secret_value(),
            "api_version": self.azure_openai_api_version,
            "label": f"{self.azure_openai_deployment} (Azure)",
        }

    def _anthropic(self) -> dict[str, Any] | None:
        if not self.anthropic_api_key:
            return None
        address, key = self.anthropic_base_url or ANTHROPIC_BASE_URL, self.anthropic_api_key.get_secret_value()
        return {"kind": "anthropic", "model": self.anthropic_model, "base_url": address, "api_key": key}

    def _ollama(self) -> dict[str, Any] | None:
        if not self.ollama_model:
            return None
        address = ollama_url(self.ollama_host)
        label = f"{self.ollama_model} (Ollama)"
        return {"kind": "ollama", "model": self.ollama_model, "base_url": address, "label": label}

    def abandoned_rules(self) -> dict[str, OnAbandoned]:
        """What happens to unwatched runs, by team; ``*`` for every other one."""
        return dict(parse_on_abandoned(entry) for entry in self.on_abandoned)

    def run_limits(self) -> Limits:
        """The part of the settings that a run in a runner obeys."""
        return Limits(**{name: getattr(self, name) for name in Limits.model_fields if hasattr(self, name)})


def parse_price(entry: str) -> tuple[str, float, float]:
    """``openai=0.15/0.60`` as (provider, of a million tokens read, written), in US dollars.

    :raises ValueError: when it has another form.
    """
    name, _, prices = entry.partition("=")
    prompt, _, reply = prices.partition("/")
    try:
        parsed = name.strip(), float(prompt), float(reply)
        if parsed[0] not in MODEL_ORDER or not all(0 <= price < math.inf for price in parsed[1:]):
            raise ValueError
    except ValueError:
        raise ValueError(f"{entry!r} is not of the form openai=0.15/0.60") from None
    return parsed


def parse_on_abandoned(entry: str) -> tuple[str, OnAbandoned]:
    """``team=stop:60`` as (team, what happens).

    :raises ValueError: when it has another form.
    """
    team, _, rest = entry.partition("=")
    action, _, after = rest.partition(":")
    try:
        if not team.strip():
            raise ValueError
        return team.strip(), OnAbandoned.model_validate({"action": action.strip(), "after_s": after.strip()})
    except ValueError:
        raise ValueError(f"{entry!r} is not of the form team=stop:60 or team=pause:60") from None


def load_settings(env_file: Path | None = Path(".env"), **overrides: Any) -> Settings:
    """Read the settings once.

    :param env_file: a ``.env`` file, or None for none; a missing file is no error.
    :param overrides: settings that win over environment and file.
    :raises SettingsError: one sentence per wrong setting.
    """
    known = set(Settings.model_fields)
    strays = [name for name in os.environ if name.upper().startswith("COLLOQUY_") and name.lower() not in known]
    strays += [name for name in overrides if name not in known]
    if strays:
        raise SettingsError("\n".join(_unknown(name, known) for name in strays))
    try:
        return Settings(_env_file=env_file, **overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(item, known) for item in error.errors())) from None


def describe_settings() -> Iterator[tuple[str, str, str]]:
    """Each setting as (NAME, default, meaning), in the table's order."""
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        if isinstance(default, tuple):
            default = ",".join(default)
        yield name.upper(), "" if default is None else str(default), field.description or ""


def _sentence(item: Any, known: set[str]) -> str:
    name = str(item["loc"][0]) if item["loc"] else ""
    if item["type"] == "extra_forbidden":
        return _unknown(name, known)
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{name.upper()}: {message}" if name else message


def _unknown(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"; did you mean {close[0].upper()}?" if close else "; `python run.py --help` lists all settings"
    return f"{name.upper()} is not a setting{hint}"

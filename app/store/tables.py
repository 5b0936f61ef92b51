"""The tables. Times are UTC, ISO 8601 with milliseconds and ``Z``, as everywhere on the wire: they sort as text.

A change here needs one in ``migrations/`` beside it; a test compares both.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Id = String(64)
_Name = String(255)
_Time = String(32)
_Word = String(32)


def _of_conversation(*, primary_key: bool = True) -> Column[Any]:
    return Column(
        "conversation_id",
        _Id,
        ForeignKey("conversations.conversation_id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
    )


# --- conversations ----------------------------------------------------------------------------------------------------

conversations = Table(
    "conversations",
    metadata,
    Column("row_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),  # for search
    Column("conversation_id", _Id, nullable=False, unique=True),
    Column("owner", _Name, nullable=False),
    Column("tenant", _Name),
    Column("title", Text, nullable=False),
    Column("team", _Name, nullable=False),
    Column("content_type", _Word, nullable=False),
    Column("status", _Word, nullable=False),
    Column("demo", Boolean, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("updated_at", _Time, nullable=False),
    Column("messages", Integer, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("cost_usd", Float),
    Column("state", JSON, nullable=False),  # the rest of the snapshot: agents, outcome, error, …
    Index(None, "owner", "updated_at", "conversation_id"),
    Index(None, "updated_at", "conversation_id"),
    Index(None, "status"),
)

messages = Table(
    "messages",
    metadata,
    _of_conversation(),
    Column("message_id", _Id, primary_key=True),
    Column("ordinal", BigInteger, nullable=False),  # order of first appearance
    Column("agent", _Name, nullable=False),
    Column("role", _Word, nullable=False),
    Column("content", Text, nullable=False),
    Column("content_type", _Word, nullable=False),
    Column("kind", _Word, nullable=False, server_default="message"),
    Column("state", _Word, nullable=False),
    Column("reason", Text),
    Column("confidence", Float),
    Column("usage", JSON),
    Column("model", _Name),
    Column("truncated", Boolean, nullable=False),
    Column("cut_off", Boolean, nullable=False, server_default=false()),
    Column("demo", Boolean, nullable=False),
    Column("feedback", _Word),
    Column("updated_at", _Time),
    Column("updated_by", _Name),
    Column("timestamp", _Time, nullable=False),
    Index(None, "conversation_id", "ordinal", unique=True),
)

tool_calls = Table(
    "tool_calls",
    metadata,
    _of_conversation(),
    Column("call_id", String(255), primary_key=True),
    Column("ordinal", BigInteger, nullable=False),
    Column("agent", _Name, nullable=False),
    Column("tool", _Name, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("success", Boolean),
    Column("code", _Word),
    Column("preview", Text, nullable=False),
    Column("length", BigInteger, nullable=False, server_default="0"),
    Column("artifact_id", _Id),
    Column("timestamp", _Time, nullable=False),
)

charts = Table(
    "charts",
    metadata,
    _of_conversation(),
    Column("chart_id", String(255), primary_key=True),
    Column("ordinal", BigInteger, nullable=False),
    Column("url", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("agent", _Name),
    Column("timestamp", _Time, nullable=False),
)

artifacts = Table(
    "artifacts",  # what is too large for an event: pictures, whole answers of tools
    metadata,
    _of_conversation(),
    Column("artifact_id", _Id, primary_key=True),
    Column("media_type", _Name, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("timestamp", _Time, nullable=False),
)

runs = Table(
    "runs",  # the sessions of a conversation that have ended, with what they have spent
    metadata,
    Column("session_id", _Id, primary_key=True),
    _of_conversation(primary_key=False),
    Column("team", _Name, nullable=False),
    Column("model", _Name),
    Column("status", _Word, nullable=False),
    Column("code", String(64)),
    Column("ended_at", _Time, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("cost_usd", Float),
    Index(None, "conversation_id"),
)

feedback = Table(
    "feedback",
    metadata,
    _of_conversation(),
    Column("message_id", _Id, primary_key=True),
    Column("user_id", _Name, primary_key=True),
    Column("value", _Word, nullable=False),
    Column("at", _Time, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    _of_conversation(),
    Column("team", _Name, nullable=False),
    Column("state", JSON, nullable=False),
    Column("saved_at", _Time, nullable=False),
)

shares = Table(
    "shares",
    metadata,
    _of_conversation(),
    Column("user_id", _Name, primary_key=True),
    Column("role", _Word, nullable=False),
    Column("created_by", _Name, nullable=False),
    Column("created_at", _Time, nullable=False),
    Index(None, "user_id"),
)

links = Table(
    "links",
    metadata,
    Column("link_id", _Id, primary_key=True),
    _of_conversation(primary_key=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("role", _Word, nullable=False),
    Column("created_by", _Name, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("expires_at", _Time),
    Column("revoked_at", _Time),
    Index(None, "conversation_id"),
)

# --- people -----------------------------------------------------------------------------------------------------------

users = Table(
    "users",
    metadata,
    Column("user_id", _Id, primary_key=True),
    Column(
        "login", _Name, nullable=False, unique=True
    ),  # as it is typed, in small letters: an e-mail address or a name
    Column("name", _Name, nullable=False),
    Column("password_hash", Text),
    Column("admin", Boolean, nullable=False),
    Column("tenant", _Name),
    Column("created_at", _Time, nullable=False),
    Column("disabled_at", _Time),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("sign_in_id", _Id, primary_key=True),
    Column("user_id", _Id, ForeignKey("users.user_id", ondelete="CASCADE"), nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("expires_at", _Time, nullable=False),
    Column("ended_at", _Time),
    Column("address", _Name, nullable=False),
    Column("browser", Text, nullable=False),
    Index(None, "user_id"),
    Index(None, "ended_at"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("token_id", _Id, primary_key=True),
    Column("user_id", _Name, nullable=False),
    Column("tenant", _Name),
    Column("name", _Name, nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("hint", String(8), nullable=False),  # the last characters, to tell one from another
    Column("scopes", JSON, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("expires_at", _Time),
    Column("last_used_at", _Time),
    Column("revoked_at", _Time),
    Index(None, "user_id"),
    Index(None, "revoked_at"),
)

usage_days = Table(
    "usage_days",
    metadata,
    Column("user_id", _Name, primary_key=True),
    Column("day", String(10), primary_key=True),  # UTC
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
)

# --- the operator -----------------------------------------------------------------------------------------------------

audit = Table(
    "audit",
    metadata,
    Column("entry_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", _Time, nullable=False),
    Column("actor", _Name, nullable=False),
    Column("address", _Name, nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", _Word, nullable=False),
    Column("details", JSON, nullable=False),
    Index(None, "at"),
)

providers = Table(
    "providers",
    metadata,
    Column("provider_id", _Id, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("name", _Name, nullable=False, unique=True),
    Column("kind", _Word, nullable=False),
    Column("model", _Name, nullable=False),
    Column("base_url", Text),
    Column("api_version", _Word),
    Column("key_cipher", LargeBinary),
    Column("key_reference", Text),
    Column("options", JSON, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("updated_at", _Time, nullable=False),
    Column("updated_by", _Name, nullable=False),
)

stored_settings = Table(
    "stored_settings",
    metadata,
    Column("name", _Name, primary_key=True),
    Column("value", JSON, nullable=False),
    Column("updated_at", _Time, nullable=False),
    Column("updated_by", _Name, nullable=False),
)

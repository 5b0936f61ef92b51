"""What a database holds of a conversation, beside what the server and its watchers know of it."""

from __future__ import annotations

from typing import Any

from app.concurrency import AsyncMode
from app.store.base import MessageQuery
from app.store.database import Database
from app.store.sql import SqlStore
from tests.support.postgres import PostgresServer

FIELDS = ("message_id", "agent", "role", "content", "state", "reason", "model", "demo", "timestamp")


def migrated(postgres: PostgresServer) -> str:
    """The address of a new database that is ready for a server."""
    url = postgres.new_database()
    Database(url, AsyncMode("threading")).migrate()
    return url


def store_at(url: str) -> SqlStore:
    """The store in a database, looked at from outside."""
    mode = AsyncMode("threading")
    return SqlStore(Database(url, mode), mode)


def missing(store: SqlStore, snapshot: dict[str, Any]) -> list[str]:
    """What a store lacks of what a snapshot shows; empty when it has all of it."""
    conversation_id = snapshot["conversation_id"]
    record = store.get(conversation_id)
    if record is None:
        return [f"the conversation {conversation_id}"]
    lacks = [] if record.status == snapshot["status"] else [f"the status: {record.status}, not {snapshot['status']}"]
    page = store.messages(conversation_id, MessageQuery(limit=10_000))
    found = [{name: each.view.model_dump()[name] for name in FIELDS} for each in page.messages]
    wanted = [{name: message[name] for name in FIELDS} for message in snapshot["messages"]]
    lacks += [f"the message {each['message_id']}" for each in wanted if each not in found]
    if not lacks and found != wanted:
        lacks.append("the order")
    return lacks

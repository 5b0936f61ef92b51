"""A store filled with conversations, for measurements."""

from __future__ import annotations

import random
from collections.abc import Iterator

from app.protocol.common import ContentType, Status, Usage
from app.protocol.snapshot import MessageView
from app.store.base import Change, ConversationChanged, ConversationRecord, MessageWritten
from app.store.sql import SqlStore

OWNER = "local"  # the guest
COMMON, RARE = "market", "heliotrope"
_WORDS = 60  # of a message
_VOCABULARY = 20_000
_BATCH = 20  # conversations in one transaction
_RARE_EVERY = 97


def fill(store: SqlStore, conversations: int, messages: int) -> None:
    """Write so many conversations of so many messages; the same ones at every call."""
    chosen = random.Random(1)  # no secret
    vocabulary = [f"w{chosen.randrange(10**6):x}" for _ in range(_VOCABULARY)]
    batch: list[Change] = []
    for number in range(conversations):
        batch += _conversation(number, messages, chosen, vocabulary)
        if number % _BATCH == _BATCH - 1 or number == conversations - 1:
            store.write(batch)
            batch = []


def _conversation(number: int, messages: int, chosen: random.Random, vocabulary: list[str]) -> Iterator[Change]:
    conversation_id = f"filled{number:06}"
    at = f"2026-01-{number // 1440 % 28 + 1:02}T{number // 60 % 24:02}:{number % 60:02}:00.000Z"
    record = ConversationRecord(
        conversation_id,
        OWNER,
        f"Question {number}",
        "debate" if number % 2 else "chat",
        ContentType.TEXT,
        at,
        at,
        status=Status.COMPLETED,
        messages=messages,
        usage=Usage(prompt_tokens=1000, completion_tokens=2000),
        state={"agents": [{"name": "Ann", "description": "", "emoji": ""}]},
    )
    yield ConversationChanged(record)
    for each in range(messages):
        words = chosen.choices(vocabulary, k=_WORDS)
        words[0] = COMMON if each % 2 else words[0]
        if number % _RARE_EVERY == 0 and each == 0:
            words[1] = RARE
        view = MessageView(
            message_id=f"m{each}", agent=f"Agent {each % 3}", content=" ".join(words), state="complete", timestamp=at
        )
        yield MessageWritten(conversation_id, view)

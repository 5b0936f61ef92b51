"""Full text search: which conversations have all words in their title or in one message. The index: the migrations."""

from __future__ import annotations

import re
import unicodedata

from sqlalchemy import ColumnElement, false, or_, select, text

from app.store import tables

_WORD = re.compile(r"[^\W_]+")
_MAX_WORDS = 20

# exactly as in the migration, else the index is not used
_POSTGRESQL_WORDS = (
    r"to_tsvector('simple'::regconfig, left(regexp_replace({column}, '[!-/:-@\[-`{{-~]+', ' ', 'g'), 200000))"
)


def words_of(search: str) -> list[str]:
    """The words of what somebody has typed, as both databases cut them."""
    return _WORD.findall(unicodedata.normalize("NFC", search))[:_MAX_WORDS]


def found_by(search: str, dialect: str) -> ColumnElement[bool]:
    """Whether a conversation is found; the last word may be the beginning of one (two letters at least).

    :param dialect: the database's name in SQLAlchemy.
    """
    words = words_of(search)
    if not words:
        return false()
    table = tables.conversations
    open_end = len(words[-1]) > 1  # a single letter begins too many
    if dialect == "sqlite":
        query = " ".join(f'"{word}"' for word in words) + ("*" if open_end else "")
        numbers = text("SELECT rowid >> 24 FROM search WHERE search MATCH :words").bindparams(words=query)
        return table.c.row_id.in_(numbers.columns(table.c.row_id).scalar_subquery())
    query = " & ".join(f"'{word}'" for word in words) + (":*" if open_end else "")

    def matches(column: str) -> ColumnElement[bool]:
        condition = f"{_POSTGRESQL_WORDS.format(column=column)} @@ to_tsquery('simple'::regconfig, :words)"
        return text(condition).bindparams(words=query)  # type: ignore[return-value]  # it is one, as it stands

    messages = tables.messages
    inside = select(messages.c.conversation_id).where(messages.c.state != "open", matches("messages.content"))
    return or_(table.c.conversation_id.in_(inside), matches("conversations.title"))

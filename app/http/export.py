"""A conversation as a file: Markdown, JSON, HTML. Read from the store in pages, and sent as it is read."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from flask import Blueprint, Response

from app.auth.audit import Audited
from app.auth.permissions import Action
from app.errors import ConversationUnknown, InvalidPayload, StoreUnavailable
from app.http.audit import note
from app.http.body import parse_query
from app.http.caller import permitted
from app.http.contract import HTML, JSON, contract
from app.http.conversation_shapes import ExportedFile, ExportWish
from app.http.export_html import POLICY, page_begin, page_chart, page_end, page_message, page_tool_call
from app.http.export_parts import CUT_OFF_WORDS, Aside, Pictures, answer_of, in_time
from app.protocol.snapshot import ChartView, MessageView, ToolCallView
from app.services import services
from app.store.base import ConversationRecord, ConversationStore, MessageQuery

export = Blueprint("export", __name__)

MARKDOWN = "text/markdown"
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")  # as CommonMark has it
_PAGE = 200
_MAX_NAME = 60
_FORMAT = "colloquy-conversation"
_VERSION = 1

Messages = Iterator[MessageView]


@dataclass(frozen=True, slots=True)
class Exported:
    """What is written: ``messages`` can be read once."""

    record: ConversationRecord
    messages: Messages
    store: ConversationStore
    at: str

    @property
    def parts(self) -> Iterator[MessageView | Aside]:
        """Messages, tool calls and charts, oldest first."""
        name = self.record.conversation_id
        return in_time(self.messages, [*self.store.tool_calls(name, _MOST), *self.store.charts(name, _MOST)])


@export.get("/api/conversations/<conversation_id>/export")
@contract(
    media=MARKDOWN,
    also_media={JSON: ExportedFile, HTML: None},
    query=ExportWish,
    errors=(InvalidPayload, ConversationUnknown, StoreUnavailable),
)
def export_conversation(conversation_id: str) -> Response:
    """The whole conversation as a file: `?format=` `markdown`, `json` or `html`, which needs nothing but itself."""
    _, conversation = permitted(Action.WATCH, conversation_id)
    wanted = parse_query(ExportWish).format
    parts = services()
    parts.archive.write(conversation.id)
    record = parts.store.get(conversation.id)
    if record is None:
        raise ConversationUnknown("there is no such conversation")
    write, media, ending = _KINDS[wanted]
    messages = _messages(parts.store, conversation.id)
    body = write(Exported(record, messages, parts.store, parts.clock.now_iso()))
    first = next(body)  # what fails at once is still a refusal
    note(Audited.CONVERSATION_EXPORTED, conversation.id, format=wanted)
    response = Response(_whole(first, body), mimetype=media)
    response.headers["Content-Disposition"] = _disposition(record, ending)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = f"{POLICY}; sandbox"
    return response


def _messages(store: ConversationStore, conversation_id: str) -> Messages:
    after: int | None = None
    while True:
        page = store.messages(conversation_id, MessageQuery(after=after, limit=_PAGE))
        yield from (each.view for each in page.messages)
        if not page.more:
            return
        after = page.messages[-1].ordinal


def _whole(first: str, rest: Iterator[str]) -> Iterator[bytes]:
    yield first.encode("utf-8", "replace")
    for piece in rest:
        yield piece.encode("utf-8", "replace")


# --- names ------------------------------------------------------------------------------------------------------------


def _disposition(record: ConversationRecord, ending: str) -> str:
    plain, full = file_names(record.title, record.created_at)
    return f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{quote(f'{full}.{ending}', safe='')}"


def file_names(title: str, created_at: str) -> tuple[str, str]:
    """Names for a file that every system takes: of ASCII alone, and with the letters of the title."""
    words = re.sub(r"[^\w]+", "-", unicodedata.normalize("NFC", title)).strip("-_")[:_MAX_NAME].strip("-_")
    ascii_words = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    ascii_words = re.sub(r"-+", "-", re.sub(r"[^A-Za-z0-9-]", "", ascii_words)).strip("-")
    day = created_at[:10]
    return "-".join(filter(None, ("colloquy", day, ascii_words))), "-".join(filter(None, ("colloquy", day, words)))


# --- Markdown ---------------------------------------------------------------------------------------------------------


def _markdown(found: Exported) -> Iterator[str]:
    record = found.record
    yield f"# {_plain(record.title)}\n\n{_facts(found)}\n"
    for part in found.parts:
        if isinstance(part, ChartView):
            about = (part.title or part.symbol, part.symbol if part.title else "", part.agent)
            yield f"\n*Chart: {_plain(', '.join(filter(None, about)))} · {part.timestamp}*\n"
        elif isinstance(part, ToolCallView):
            ended, answer = answer_of(part)
            yield f"\n*{_plain(part.agent)} calls {_plain(part.tool)} · {part.timestamp} · {ended}*\n"
            yield _block(part.arguments) + _block(answer)
        else:
            yield f"\n## {_plain(part.agent)}\n\n*{part.timestamp}{remarks(part)}*\n\n"
            text = _closed(part.content.rstrip())
            yield "".join(f"> {line}\n" for line in text.splitlines()) if part.role == "user" else f"{text}\n"
    outcome = record.state.get("outcome") or {}
    for name in ("summary", "consensus"):
        if outcome.get(name):
            yield f"\n## {name.capitalize()}\n\n{_closed(str(outcome[name]).rstrip())}\n"


def _plain(text: str) -> str:
    """One line in which no character means anything."""
    return re.sub(r"([\\`*_\[\]<>#|!~&])", r"\\\1", " ".join(text.split()))


def _closed(text: str) -> str:
    """Markdown whose last block of code has an end: one that broke off in it would swallow all that follows."""
    fence = ""
    for line in text.splitlines():
        found = _FENCE.fullmatch(line)
        if found is None:
            continue
        marks, rest = found.groups()
        if fence:
            fence = "" if marks.startswith(fence) and not rest.strip() else fence
        elif marks[0] == "~" or "`" not in rest:
            fence = marks
    return f"{text}\n{fence}" if fence else text


def _block(text: str) -> str:
    """Text as it is, in a fence that nothing in it ends."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 0)
    return f"\n{fence}\n{text.strip()}\n{fence}\n" if text.strip() else ""


def _facts(found: Exported) -> str:
    record = found.record
    spent = record.usage
    about = "about " if spent.estimated else ""
    lines = [
        f"- Team: {_plain(record.team)}",
        f"- Begun: {record.created_at}",
        f"- Last changed: {record.updated_at}",
        f"- Status: {record.status}",
        f"- Tokens: {about}{spent.prompt_tokens} read, {spent.completion_tokens} written{spent.cost_words()}",
        f"- Exported: {found.at}",
    ]
    if record.demo:
        lines.insert(1, "- Demo: a prepared script, no model spoke")
    return "\n".join(lines)


def remarks(message: MessageView) -> str:
    """What there is to say of a message beside its words."""
    told = [
        message.kind != "message" and message.kind,
        message.model and f"by {_plain(message.model)}",
        message.state == "partial" and f"broken off: {_plain(message.reason or '')}",
        message.state == "open" and "still being written",
        message.cut_off and CUT_OFF_WORDS,
        message.updated_by and f"changed by {_plain(message.updated_by)}",
        message.feedback and f"feedback: {message.feedback}",
    ]
    return "".join(f" · {each}" for each in told if each)


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json(found: Exported) -> Iterator[str]:
    record, store = found.record, found.store
    head = {
        "format": _FORMAT,
        "version": _VERSION,
        "exported_at": found.at,
        "conversation": {
            "conversation_id": record.conversation_id,
            "title": record.title,
            "team": record.team,
            "content_type": record.content_type,
            "status": record.status,
            "demo": record.demo,
            "created_at": record.created_at,
            "updated_at": record.updated_at,
            "owner": record.owner,
            "usage": record.usage.model_dump(),
            "outcome": record.state.get("outcome"),
        },
        "tool_calls": [each.model_dump() for each in store.tool_calls(record.conversation_id, _MOST)],
        "charts": [each.model_dump() for each in store.charts(record.conversation_id, _MOST)],
    }
    yield f'{json.dumps(head)[:-1]}, "messages": ['
    lead = "\n"
    for message in found.messages:
        yield lead + json.dumps(message.model_dump(mode="json"))
        lead = ",\n"
    yield "\n]}\n"


_MOST = 100_000


# --- HTML -------------------------------------------------------------------------------------------------------------


def _html(found: Exported) -> Iterator[str]:
    record = found.record
    yield page_begin(record, found.at)
    pictures = Pictures(found.store, record.conversation_id)
    for part in found.parts:
        if isinstance(part, ChartView):
            yield page_chart(part, pictures.address_of(part))
        else:
            yield page_tool_call(part) if isinstance(part, ToolCallView) else page_message(part)
    yield page_end(record)


_KINDS: dict[str, tuple[Callable[[Exported], Iterator[str]], str, str]] = {
    "markdown": (_markdown, MARKDOWN, "md"),
    "json": (_json, JSON, "json"),
    "html": (_html, HTML, "html"),
}

"""Writes the tables of docs/protocol.md and docs/operations.md from the code that they describe.

Each table stands between two markers, ``<!-- generated:NAME -->`` and ``<!-- /generated -->``;
all else is written by hand.

    python tools/protocol_md.py           write them
    python tools/protocol_md.py --check   fail if a file is not what would be written
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app import errors
from app.namespaces.delivery import SOCKET_FIGURES
from app.protocol import commands, common, events, snapshot
from app.settings import describe_settings
from app.streaming.metrics import DELIVERY_FIGURES, SESSION_FIGURES
from app.streaming.states import TERMINAL, TRANSITIONS

ROOT = Path(__file__).resolve().parent.parent
FILES = (ROOT / "docs/protocol.md", ROOT / "docs/operations.md")

# Fields that mean the same wherever they stand, and exceptions as Payload.field; a description in app/protocol wins.
GLOSSARY = {
    "Position.offset": "the newest event that the reader has applied; 0: none",
    "Snapshot.model": "label of the model that answers, once known",
    "agent": "the agent's name; `user` for a person",
    "agents": "who takes part, before they have spoken",
    "code": "stable code, see [Errors](#errors)",
    "completion_tokens": "tokens that the model wrote",
    "consensus": "what the agents agree on, in Markdown",
    "content": "the text",
    "content_type": "what kind of text it is",
    "confidence": "0 to 1, only where the agent stated one",
    "conversation_id": "the conversation's id",
    "created_at": "UTC, ISO 8601",
    "current_turn": "the turn that runs, from 1",
    "delta": "text to append",
    "demo": "true: no model spoke, this is a prepared script",
    "description": "what the agent does, in a sentence",
    "emoji": "the agent's sign, may be empty",
    "epoch": "identity of the log; offsets compare only within one epoch",
    "error": "what went wrong",
    "estimated": "true: the provider gave no figures, received deltas were counted",
    "fallback": "the last `fallback_mode`, if there was one",
    "fallback_mode": "true: the conversation goes on as a demo",
    "from": "who answered until now",
    "heartbeat_s": "interval of `heartbeat`, in seconds",
    "level": "how urgent",
    "max_turns": "turns at most, where that is known",
    "message": "a sentence for a person",
    "message_id": "the message's id, unique in the conversation",
    "messages": "all messages, oldest first",
    "mode": "`provider`: another model; `demo`: a prepared script",
    "model": "label of the model that wrote it",
    "name": "the agent's name",
    "offset": "the log's head: the newest event's offset",
    "ok": "always false",
    "options": "wishes for this run",
    "outcome": "how a run that ended by itself ended",
    "percentage": "0 to 100",
    "progress": "the last `progress`",
    "prompt_tokens": "tokens that the model read",
    "protocol": "the protocol's version, an integer",
    "reason": "why, in a word or a sentence",
    "recovering": "true: the run is resumed from its last finished turn",
    "retryable": "whether the same again may succeed later",
    "role": "who wrote it",
    "server": "name and version of the server",
    "session_id": "the run's id; a conversation has one after the other",
    "sid": "this connection's id",
    "silent_s": "how long the team has been silent, in seconds",
    "snapshot": "a [Snapshot](#snapshot)",
    "state": "`open` while deltas still come, `partial` where it broke off",
    "status": "see [States](#states)",
    "summary": "what was said, in Markdown",
    "team": "the team's name; the server's own are listed on its page",
    "timestamp": "UTC, ISO 8601, with milliseconds",
    "title": "a short title, made from the content",
    "to": "who answers from here on",
    "tokens": "what the run has spent with the model",
    "arguments": "what the tool was called with",
    "call_id": "the tool call's id",
    "chart_id": "the chart's id",
    "expires_at": "UTC, ISO 8601",
    "kind": "`text`, or `permission` for a yes or no",
    "deadline": "UTC, ISO 8601; null: none",
    "preview": "the beginning of the answer",
    "prompt": "what the agent asks",
    "request_id": "the request's id",
    "resolution": "how it ended",
    "success": "whether the tool succeeded",
    "symbol": "what it is about, e.g. `BTC`",
    "tool": "the tool's name",
    "url": "where the chart's data lies, on this server",
    "updated_by": "who changed it; null: the run itself",
    "truncated": "true: what the model read was condensed to its context",
    "turn": "the turn's number, from 1",
    "updated_at": "time of the last event; UTC, ISO 8601",
    "usage": "tokens spent",
    "user": "who you are to the server",
    "watchers": "connections that follow the conversation",
    "echo": "what the command carried",
}

# Codes that any command may be answered with, and each command's own.
ANY_COMMAND = ("invalid_payload", "limit_exceeded", "unauthenticated", "not_permitted", "internal")
COMMAND_ERRORS: dict[str, tuple[str, ...]] = {
    "join": ("conversation_unknown",),
    "ack": ("conversation_unknown", "invalid_state"),
    "leave": ("conversation_unknown",),
    "start_stream": ("team_unknown", "content_empty", "content_too_large", "conversation_unknown", "invalid_state"),
    "pause_stream": ("conversation_unknown", "invalid_state", "runner_lost"),
    "resume_stream": ("conversation_unknown", "invalid_state", "runner_lost"),
    "stop_stream": ("conversation_unknown", "invalid_state", "runner_lost"),
    "send_message": ("content_empty", "content_too_large", "conversation_unknown", "limit_exceeded"),
    "unqueue_message": ("conversation_unknown", "message_unknown", "not_permitted"),
    "provide_input": ("conversation_unknown", "content_too_large", "input_unknown", "input_resolved"),
    "continue_stream": ("conversation_unknown", "invalid_state", "limit_exceeded"),
    "feedback": ("conversation_unknown", "message_unknown"),
    "authenticate": ("unauthenticated", "token_expired", "not_permitted"),
    "ping": (),
}

# What each code of app/errors.py means, and so each that a client may see.
ERROR_MEANINGS = {
    "internal": "the server's own fault; its log says more",
    "bad_request": "the request is wrong in a way that has no code of its own",
    "invalid_payload": "a field is missing, unknown, of the wrong type or out of bounds; the message names it",
    "unknown_command": "there is no such command",
    "content_empty": "the content is empty or only white space",
    "content_too_large": "the content is longer than the server takes (`MAX_CONTENT_BYTES`)",
    "team_unknown": "there is no such team",
    "conversation_unknown": "there is no such conversation, or it is no longer kept",
    "message_unknown": "there is no such message in the conversation",
    "input_unknown": "no agent has asked this, or its run has ended",
    "input_resolved": "the agent no longer waits: it was answered, its time is over, or its run was stopped",
    "not_found": "what the address names is not there, or not for you: a token, a link, a provider",
    "token_expired": "the token was good once: a fresh one is needed",
    "csrf_failed": "a change was asked for with a sign-in's cookie, but without the page's own proof",
    "keys_unavailable": "the keys of the tokens' issuer cannot be had: nobody can say whether a token is good",
    "store_unavailable": "the database does not answer; streaming goes on, and what cannot be written waits",
    "unauthenticated": "who you are is not known, or no longer",
    "not_permitted": "you may not do this to this conversation",
    "invalid_state": "not in the conversation's present state (resume of a run that has ended, a second start)",
    "limit_exceeded": "too many at once: commands that wait, runs on the server; try again later",
    "sockets_unavailable": "the socket layer could not start: only HTTP is served",
    "model_error": "the model failed in a way that has no code of its own",
    "model_unreachable": "the model's address refuses, is not found, or its TLS fails",
    "model_unauthorized": "the provider refuses the key (401, 403)",
    "model_not_found": "the provider does not know the model (404)",
    "model_rate_limited": "the provider limits us (429)",
    "model_server_error": "the provider fails (5xx)",
    "model_stalled": "the model was silent for too long",
    "model_broken": "the model's reply ended in its middle",
    "context_overflow": "the request is longer than the model's context",
    "content_refused": "the provider's policy refuses the content",
    "model_bad_request": "the provider calls the request wrong",
    "run_failed": "the run failed in a way that has no code of its own",
    "runner_lost": "the process that ran the agents died",
    "session_timeout": "nothing happened for too long (`SESSION_TIMEOUT_S`)",
    "interrupted": "the run died under the conversation, for example by a restart; it can be continued",
    "budget_exhausted": "the run has spent all tokens of its conversation, of its caller's `max_tokens` or of its "
    "owner's day; what was said until then is kept as a partial message",
    "message_too_long": "a message grew beyond `MAX_MESSAGE_CHARS`; what came is kept as a partial message",
    "team_failed": "the team's own code raised an error",
    "fetch_failed": "the page at the address that was given could not be read, or may not be",
    "backend_unavailable": "no model answers; the conversation goes on as a demo",
}


# --- types ------------------------------------------------------------------------------------------------------------


def type_text(annotation: Any) -> str:
    """An annotation as a stranger to Python reads it."""
    if annotation is Any:
        return "any"
    if get_origin(annotation) is Annotated:
        return type_text(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        parts = [part for part in get_args(annotation) if part is not NoneType]
        text = " or ".join(type_text(part) for part in parts)
        return f"{text} or null" if len(parts) < len(get_args(annotation)) else text
    if get_origin(annotation) is Literal:
        return " · ".join(f"`{json_text(value)}`" for value in get_args(annotation))
    if get_origin(annotation) in (tuple, list):
        return f"list of {type_text(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        return "object"
    if inspect.isclass(annotation) and issubclass(annotation, StrEnum):
        return " · ".join(f"`{member.value}`" for member in annotation)
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null", AwareDatetime: "string"}[
        annotation
    ]


def json_text(value: Any) -> str:
    """A literal or a default as it stands in JSON; a string without its quotes."""
    if isinstance(value, BaseModel):
        return "{}" if value == type(value)() else value.model_dump_json()
    if isinstance(value, tuple | list):
        return "[]" if not value else str(list(value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def bounds_text(field: FieldInfo) -> str:
    """The bounds of a field's values: ``1 to 64 characters``, ``at least 1``."""
    found: dict[str, Any] = {}
    for part in [*field.metadata, *(m for a in get_args(field.annotation) for m in getattr(a, "__metadata__", ()))]:
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length"):
            if getattr(part, name, None) is not None:
                found[name] = getattr(part, name)
    lower, upper = found.get("min_length"), found.get("max_length")
    if lower is not None or upper is not None:
        return f"{lower or 0} to {upper} characters" if upper is not None else f"at least {lower} characters"
    lower, upper = found.get("ge"), found.get("le")
    if lower is not None and upper is not None:
        return f"{lower} to {upper}"
    if lower is not None:
        return f"at least {lower}"
    return f"more than {found['gt']}" if "gt" in found else ""


def fields_of(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """The fields of a payload under their names on the wire."""
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def field_table(model: type[BaseModel], *, sent_by_client: bool) -> str:
    """Name, type, default and meaning of a payload's fields.

    :param sent_by_client: then a column says what is filled in for a field that was left out; what the server sends
        is always complete.
    """
    rows = list(fields_of(model))
    if not rows:
        return "No fields."
    head = "| field | type | default | meaning |" if sent_by_client else "| field | type | meaning |"
    lines = [head, "| --- " * (4 if sent_by_client else 3) + "|"]
    for name, field in rows:
        meaning = field.description or GLOSSARY.get(f"{model.__name__}.{name}") or GLOSSARY.get(name)
        if not meaning:
            raise SystemExit(f"{model.__name__}.{name}: no description in app/protocol and none in GLOSSARY")
        if bounds := bounds_text(field):
            meaning += f" ({bounds})"
        cells = [f"`{name}`", type_text(field.annotation)]
        if sent_by_client:
            required = field.default is PydanticUndefined and field.default_factory is None
            default = None if required else field.get_default(call_default_factory=True)
            cells.append("required" if required else f"`{json_text(default)}`")
        lines.append(f"| {' | '.join([*cells, meaning])} |")
    return "\n".join(lines)


def doc_of(cls: type) -> str:
    """The class's own docstring, on one line."""
    return re.sub(r"\s+", " ", cls.__doc__ or "").strip().replace("``", "`")


# --- tables -----------------------------------------------------------------------------------------------------------


def command_chapters() -> str:
    parts = []
    for command in commands.COMMANDS:
        codes = ", ".join(f"`{code}`" for code in COMMAND_ERRORS[command.name])
        parts += [
            f"### `{command.name}`",
            doc_of(command),
            field_table(command, sent_by_client=True),
            "Ack, beside `ok: true`:",
            field_table(command.ack, sent_by_client=False),
            f"Errors of its own: {codes}." if codes else "No errors of its own.",
        ]
    return "\n\n".join(parts)


def any_command_codes() -> str:
    return ", ".join(f"`{code}`" for code in ANY_COMMAND)


def event_chapters(kinds: tuple[type[events.Event], ...]) -> str:
    parts = []
    for event in kinds:
        title = f"### `{event.name}`"
        if sum(other.name == event.name for other in events.LOGGED + events.TRANSIENT) > 1 and not event.logged:
            title += " (transient)"
        parts += [title, doc_of(event), field_table(event, sent_by_client=False)]
    return "\n\n".join(parts)


def shared_chapters() -> str:
    """Objects that stand inside other payloads."""
    parts = []
    inside = [common.Position, common.Filter, common.Usage, common.AgentCard, commands.RunOptions, events.BatchEntry]
    for model in [*inside, *_models_of(snapshot)]:
        sent = model in (common.Position, common.Filter, commands.RunOptions)
        parts += [f"### {model.__name__}", doc_of(model), field_table(model, sent_by_client=sent)]
    return "\n\n".join(part for part in parts if part)


def _models_of(module: Any) -> list[type[BaseModel]]:
    own = [value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__]
    return sorted((cls for cls in own if issubclass(cls, BaseModel)), key=lambda cls: cls.__name__ != "Snapshot")


def state_table() -> str:
    lines = ["| state | may become |", "| --- | --- |"]
    for state, following in TRANSITIONS.items():
        nexts = " · ".join(f"`{other}`" for other in common.Status if other in following)
        lines.append(f"| `{state}` | {'nothing: terminal' if state in TERMINAL else nexts} |")
    return "\n".join(lines)


def error_codes() -> dict[str, type[errors.ColloquyError]]:
    """Every code of the exception tree with its class; where one class covers several, its docstring names them."""
    found: dict[str, type[errors.ColloquyError]] = {}

    def walk(cls: type[errors.ColloquyError]) -> None:
        found.setdefault(cls.code, cls)
        _, _, listed = (cls.__doc__ or "").partition("Codes:")
        for code in re.findall(r"``(\w+)``", listed):
            found.setdefault(code, cls)
        for child in cls.__subclasses__():
            walk(child)

    walk(errors.ColloquyError)
    return found


def error_table() -> str:
    lines = ["| code | retryable | HTTP status | meaning |", "| --- | --- | --- | --- |"]
    for code, cls in error_codes().items():
        retryable = "yes" if cls.retryable else "no"
        lines.append(f"| `{code}` | {retryable} | {cls.http_status} | {ERROR_MEANINGS[code]} |")
    return "\n".join(lines)


def figure_table() -> str:
    """The figures that ``GET /api/websocket/sessions`` reports for a session."""
    rows = ["| figure | meaning |", "| --- | --- |"]
    rows += [f"| `{name}` | {meaning} |" for name, meaning in SESSION_FIGURES.items()]
    return "\n".join(rows)


def delivery_table() -> str:
    """The figures that ``GET /api/websocket/status`` reports under ``delivery``."""
    rows = ["| figure | meaning |", "| --- | --- |"]
    rows += [f"| `{name}` | {meaning} |" for name, meaning in (DELIVERY_FIGURES | SOCKET_FIGURES).items()]
    return "\n".join(rows)


def setting_table() -> str:
    lines = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, default, meaning in describe_settings():
        lines.append(f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |".replace("|  |", "| |"))
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {
    "commands": command_chapters,
    "any-command-errors": any_command_codes,
    "envelope": lambda: field_table(events.Envelope, sent_by_client=False),
    "logged-events": lambda: event_chapters(events.LOGGED),
    "transient-events": lambda: event_chapters(events.TRANSIENT),
    "objects": shared_chapters,
    "states": state_table,
    "errors": error_table,
    "settings": setting_table,
    "figures": figure_table,
    "delivery-figures": delivery_table,
}

_BLOCK = re.compile(r"(<!-- generated:([\w-]+) -->).*?(<!-- /generated -->)", re.DOTALL)


def rendered(text: str) -> str:
    """A document with its tables as they should be."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n\n{TABLES[block[2]]()}\n\n{block[3]}", text)


def stale_files() -> list[Path]:
    """The documents that differ from what would be written."""
    return [path for path in FILES if path.read_text() != rendered(path.read_text())]


def main() -> None:
    stale = stale_files()
    if "--check" in sys.argv[1:]:
        if stale:
            names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
            raise SystemExit(f"{names}: not what the code says; run `make generate`")
        print("Generated tables in docs/ are current.")
        return
    for path in stale:
        path.write_text(rendered(path.read_text()))
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

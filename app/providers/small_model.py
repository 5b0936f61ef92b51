"""How the bundled small model is asked: 135 million parameters follow one plain request, and no role play in turns."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.providers.forms import Form, Message

MAX_FIELD_CHARS = 320
MAX_INNER_FIELD_CHARS = 120
MAX_SENTENCES = 2
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_PROSE = {
    "temperature": 0.4,
    "repeat_penalty": 1.1,
    "repeat_last_n": 128,
    "dry_multiplier": 0.8,
    "dry_allowed_length": 4,
    "dry_penalty_last_n": 1024,
}
"""Without these it repeats a sentence, its own or another speaker's, to the end of its context."""
_STRUCTURED = {"temperature": 0.3, "repeat_penalty": 1.05, "repeat_last_n": 128}
"""For replies bound to a schema: a strong penalty drives it into figures and brackets."""
_WITH_FACTS = {"temperature": 0.2, "repeat_penalty": 1.05, "repeat_last_n": 64, "dry_allowed_length": 24}
"""For replies with figures in them: what keeps it from repeating itself keeps it from repeating them, too."""
CHOICE = {**_STRUCTURED, "temperature": 0.0}
"""For replies whose words stand in the question."""


def plain_request(messages: Sequence[Message], agent: str, form: Form[Message]) -> list[Message]:
    """A conversation of several speakers as one request: who said what, then whose reply is wanted.

    Conversations of one user message, and such with tools, stay as they are, but for the instructions: they come first.
    """
    systems = [message for message in messages if form.is_system(message)]
    others = [message for message in messages if not form.is_system(message)]
    if len(others) < 2 or not all(form.is_plain(message) for message in others):
        return [*systems, *others]
    lines = [_line(form.speaker(message), form.text(message)) for message in others]
    lines.append(f"Now write the reply of {_name(agent) or 'the assistant'}.")
    return [*systems, form.request("\n\n".join(lines))]


def facts_request(messages: Sequence[Message], form: Form[Message]) -> list[Message]:
    """A conversation in which a tool has just answered, as one request that keeps to the answers: they come first."""
    systems = [message for message in messages if form.is_system(message)]
    lines = [_line(form.speaker(message), form.text(message)) for message in messages if not form.is_system(message)]
    return [*systems, form.request("\n\n".join([*lines, "Answer with the figures above."]))]


def facts_args(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of such a request, with what this model needs instead of :func:`create_args`'s."""
    return {**given, **_WITH_FACTS} if given.get("response_format") is None else dict(given)


def create_args(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call with what this model needs beside them; texts in a schema get an end."""
    response_format = given.get("response_format")
    if response_format is None:
        return {**given, "extra_body": dict(_PROSE)}
    bounded = copy.deepcopy(response_format)
    _bound(bounded.get("json_schema", {}).get("schema", {}))
    return {**given, "response_format": bounded, "extra_body": dict(_STRUCTURED)}


def _bound(schema: Any) -> None:
    """Give every text in a schema an end, at any depth; those inside objects of objects a nearer one."""
    for part in (schema, *schema.get("$defs", {}).values()):
        length = MAX_FIELD_CHARS if part is schema else MAX_INNER_FIELD_CHARS
        for field in part.get("properties", {}).values():
            if field.get("type") == "string" and "enum" not in field:
                field.setdefault("maxLength", length)


def _line(speaker: str, text: str) -> str:
    return text if speaker in ("user", "") else f"{_name(speaker)}: {_opening(text)}"


def _opening(text: str) -> str:
    """The first sentences. With all that another has said before it, this model says it again."""
    return " ".join(_SENTENCE_END.split(text.strip())[:MAX_SENTENCES])


def _name(agent: str) -> str:
    return agent.replace("_", " ")

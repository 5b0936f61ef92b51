"""MagenticOne's progress ledger, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

_LABELS = {
    "is_request_satisfied": "Is the request satisfied?",
    "is_in_loop": "Are we going round in circles?",
    "is_progress_being_made": "Is there progress?",
    "next_speaker": "Who is next?",
}


def read_ledger(text: str) -> str:
    """A progress ledger for people, as far as it has come. Grows with the text; empty while nothing can be read.

    The instruction to the next agent is left out: it is a message of its own.
    """
    start = text.find("{")
    if start < 0:
        return ""
    try:
        document = from_json(text[start:].rstrip("`\n "), allow_partial="trailing-strings")
    except ValueError:
        return ""
    if not isinstance(document, dict):
        return ""
    found = [(_LABELS[name], value) for name, value in document.items() if name in _LABELS]
    return "\n".join(_line(label, value) for label, value in found if isinstance(value, dict) and value)


def _line(label: str, entry: Mapping[str, Any]) -> str:
    parts = [f"- **{label}**"]
    for name, value in entry.items():
        if name == "answer" and isinstance(value, bool):
            parts.append("**Yes.**" if value else "**No.**")
        elif name == "answer" and isinstance(value, str):
            parts.append(f"→ {value}")
        elif isinstance(value, str):
            parts.append(value)
    return " ".join(parts)

"""Writes static/js/protocol.js, the protocol's names for JavaScript, from app/protocol.

Run it after each change there; ``make check`` compares.

    python tools/protocol_js.py           write it
    python tools/protocol_js.py --check   fail if the file is not what would be written
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.protocol import NAMESPACE, PROTOCOL_VERSION
from app.protocol.commands import COMMANDS
from app.protocol.common import ContentType, Status
from app.protocol.events import EVENT_NAMES, LOGGED_BY_NAME

FILE = Path(__file__).resolve().parent.parent / "static/js/protocol.js"

_HEAD = """\
// Generated from app/protocol by tools/protocol_js.py: do not edit. `make generate` writes it, `make check` compares.
// @ts-check
"""


def constant(name: str) -> str:
    """``message_delta`` → ``MESSAGE_DELTA``."""
    return name.upper()


def constants() -> list[tuple[str, str, Any]]:
    """What the module exports: name, a sentence about it, value."""
    return [
        ("PROTOCOL_VERSION", "The version of the wire contract.", PROTOCOL_VERSION),
        ("NAMESPACE", "The Socket.IO namespace.", NAMESPACE),
        ("COMMANDS", "Names of the commands that a client sends.", {constant(c.name): c.name for c in COMMANDS}),
        ("EVENTS", "Names of the events that the server sends.", {constant(name): name for name in EVENT_NAMES}),
        ("LOGGED_EVENTS", "Events that may stand in a conversation's log, with an envelope.", list(LOGGED_BY_NAME)),
        ("STATUS", "What a conversation is doing.", {constant(status.value): status.value for status in Status}),
        ("CONTENT_TYPES", "What the user's content is.", {constant(kind.value): kind.value for kind in ContentType}),
        (
            "COMMAND_SCHEMAS",
            "The payload of each command, as JSON Schema.",
            {command.name: command.model_json_schema() for command in COMMANDS},
        ),
    ]


def rendered() -> str:
    """The module's text. The same contract always gives the same text."""
    parts = [_HEAD]
    for name, about, value in constants():
        text = json.dumps(value, indent=2, ensure_ascii=False)
        parts.append(f"/** {about} */\nexport const {name} = {_frozen(value, text)};\n")
    return "\n".join(parts)


def _frozen(value: Any, text: str) -> str:
    return f"Object.freeze({text})" if isinstance(value, dict | list) else text


def main() -> None:
    current = FILE.read_text(encoding="utf-8") if FILE.exists() else None
    wanted = rendered()
    if "--check" in sys.argv[1:]:
        if current != wanted:
            raise SystemExit("static/js/protocol.js: not what app/protocol says; run `make generate`")
        print("static/js/protocol.js is current.")
    elif current != wanted:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(wanted, encoding="utf-8")
        print("wrote static/js/protocol.js")


if __name__ == "__main__":
    main()

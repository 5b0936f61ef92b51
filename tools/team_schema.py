"""Writes docs/teams/rounds.schema.json, the JSON Schema of a round of prompts, from app/teams/rounds_file.py.

python tools/team_schema.py           write it
python tools/team_schema.py --check   fail if the file is not what would be written
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.teams.rounds_file import schema

FILE = Path(__file__).resolve().parent.parent / "docs/teams/rounds.schema.json"


def written() -> str:
    """What the file should be."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """The command line."""
    if "--check" in sys.argv[1:]:
        if FILE.read_text(encoding="utf-8") != written():
            sys.exit(f"{FILE.name} is not current: run make generate")
    else:
        FILE.write_text(written(), encoding="utf-8")


if __name__ == "__main__":
    main()

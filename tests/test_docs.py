"""The documents name everything that there is: settings, commands, events, fields, errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.auth.audit import Audited
from app.namespaces.delivery import SOCKET_FIGURES
from app.protocol.commands import COMMANDS, COMMANDS_BY_NAME, Command
from app.protocol.events import EVENT_NAMES, LOGGED, TRANSIENT, Event
from app.settings import describe_settings
from app.streaming.metrics import DELIVERY_FIGURES, SESSION_FIGURES
from tools import protocol_md

DOCS = Path(__file__).resolve().parent.parent / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text()
OPERATIONS = (DOCS / "operations.md").read_text()


def chapters_of(name: str) -> str:
    """The reference chapters under an event's or a command's name."""
    found = re.findall(rf"^### `{name}`[^\n]*\n(.*?)(?=^##)", PROTOCOL, re.DOTALL | re.MULTILINE)
    assert found, f"docs/protocol.md has no chapter on {name}"
    return "\n".join(found)


def test_every_setting_is_described() -> None:
    """Each setting has a line with its name in docs/operations.md."""
    missing = [name for name, _, _ in describe_settings() if f"| `{name}` |" not in OPERATIONS]
    assert not missing


def test_every_figure_is_described() -> None:
    """Each figure has a line in docs/operations.md."""
    figures = [*SESSION_FIGURES, *DELIVERY_FIGURES, *SOCKET_FIGURES]
    assert not [name for name in figures if f"| `{name}` |" not in OPERATIONS]


@pytest.mark.parametrize("name", [*EVENT_NAMES, *COMMANDS_BY_NAME])
def test_every_name_has_a_chapter(name: str) -> None:
    """Each event and each command is described."""
    assert chapters_of(name)


@pytest.mark.parametrize("payload", [*LOGGED, *TRANSIENT, *COMMANDS], ids=lambda payload: payload.__name__)
def test_every_field_is_described(payload: type[Event] | type[Command]) -> None:
    """Each field of each payload, and of each ack, stands in its chapter under its name on the wire."""
    fields = [name for name, _ in protocol_md.fields_of(payload)]
    if issubclass(payload, Command):
        fields += [name for name, _ in protocol_md.fields_of(payload.ack)]
    text = chapters_of(payload.name)
    assert not [name for name in fields if f"| `{name}` |" not in text]


def test_every_error_code_is_explained() -> None:
    """The generator's own texts cover every code of app/errors.py, and no code that is gone."""
    assert set(protocol_md.ERROR_MEANINGS) == set(protocol_md.error_codes())


def test_the_errors_of_commands_exist() -> None:
    """Each command has its list of error codes, and each code is one of app/errors.py."""
    assert set(protocol_md.COMMAND_ERRORS) == set(COMMANDS_BY_NAME)
    listed = {code for codes in protocol_md.COMMAND_ERRORS.values() for code in codes} | set(protocol_md.ANY_COMMAND)
    assert listed <= set(protocol_md.error_codes())


def test_generated_tables_are_current() -> None:
    """What stands between the markers is what the code says now; else run `make generate`."""
    assert protocol_md.stale_files() == []


def test_every_marker_is_closed() -> None:
    """A marker without its end would leave its table unchecked."""
    for text in (PROTOCOL, OPERATIONS):
        assert text.count("<!-- generated:") == text.count("<!-- /generated -->")
    assert set(re.findall(r"generated:([\w-]+)", PROTOCOL + OPERATIONS)) == set(protocol_md.TABLES)


def test_links_inside_the_protocol_lead_somewhere() -> None:
    """Each `#…` link of docs/protocol.md has a heading."""
    headings = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", PROTOCOL, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", PROTOCOL)) <= headings


# --- all documents ----------------------------------------------------------------------------------------------------

ROOT = DOCS.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def anchors_of(document: Path) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", each)).lower() for each in headings]
    return {each.strip().replace(" ", "-") for each in plain}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    """Files and chapters of our own; other people's pages are their affair."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        goal = (document.parent / path).resolve() if path else document
        assert goal.exists(), target
        assert not anchor or anchor in anchors_of(goal) or f'name="{anchor}"' in goal.read_text(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_is_named_is_there(document: Path) -> None:
    """Modules and folders of this project, as `app/…`, `tests/…`, `tools/…` or `docs/…`."""
    named = re.findall(r"`((?:app|tests|tools|docs|static)/[\w./-]*)`", document.read_text())
    assert not [each for each in named if not (ROOT / each).exists()]


def test_every_bound_stands_among_the_limits() -> None:
    """Each setting that bounds something, and no setting that does not exist."""
    limits = OPERATIONS.partition("\n## Limits\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", limits))
    known = {name for name, _, _ in describe_settings()}
    assert not [name for name in known if name.startswith("MAX_") and name not in named]
    assert not named - known


def test_every_action_of_the_audit_log_is_described() -> None:
    """Each stands in the table of docs/operations.md."""
    table = OPERATIONS.partition("## The audit log")[2].partition("\n## ")[0]
    assert not [action for action in Audited if f"`{action}`" not in table]

"""Which teams there are."""

from __future__ import annotations

import subprocess
import sys

from app.teams.registry import BUNDLED, find_teams


def test_bundled_teams_have_their_cards_in_order() -> None:
    """The debate's three agents as they will speak."""
    debate = find_teams()["debate"]
    assert [card.name for card in debate.agents] == ["Financial Analyst", "Market Context", "Risk Challenger"]
    assert all(card.emoji for card in debate.agents)
    assert not any(spec.isolated for spec in BUNDLED)


def test_teams_from_the_settings_are_isolated_and_win() -> None:
    """They run in runners of their own, and may replace a bundled one."""
    teams = find_teams(["my_team=mine:team", "chat = mine:other"])
    assert (teams["my_team"].factory, teams["my_team"].isolated) == ("mine:team", True)
    assert teams["chat"].factory == "mine:other"
    assert teams["my_team"].title == "My team"


def test_the_registry_imports_no_autogen() -> None:
    """The web process reads it."""
    code = "import sys, app.teams.registry; sys.exit(any(m.startswith(('autogen', 'openai')) for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

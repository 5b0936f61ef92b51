"""Whom conversations are shared with: people by name, and whoever holds a link."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import insert, select, update

from app.auth.shares import Changed, Shares
from app.errors import InvalidState, NotFound
from app.store.database import Database
from app.store.tables import conversations, links
from app.streaming.access import Access, Role

TALK = "talk"


@dataclass(eq=False)
class Talk:
    """A conversation in memory."""

    access: Access


@pytest.fixture
def shares(database: Database) -> Shares:
    database.write(
        lambda connection: connection.execute(
            insert(conversations).values(
                conversation_id=TALK,
                owner="anna",
                title="",
                team="chat",
                content_type="text",
                status="idle",
                demo=False,
                created_at="",
                updated_at="",
                messages=0,
                prompt_tokens=0,
                completion_tokens=0,
                estimated=False,
                state={},
            )
        )
    )
    return Shares(database)


def test_people(shares: Shares) -> None:
    """Given, changed, and withdrawn; each change tells who may come in now, and the store says the same."""
    changed, share = shares.grant(TALK, "bert", Role.VIEWER, "anna")
    assert (share.user_id, share.name, share.role) == ("bert", "bert", "viewer")
    assert changed.access == Access("anna", None, {"bert": Role.VIEWER})
    later, _ = shares.grant(TALK, "bert", Role.EDITOR, "anna")
    assert later.number > changed.number
    assert shares.load_access(TALK, "anna", None) == later.access == Access("anna", None, {"bert": Role.EDITOR})
    assert [each.role for each in shares.of(TALK)[0]] == ["editor"]
    assert shares.withdraw(TALK, "bert").access == Access("anna")
    with pytest.raises(NotFound):
        shares.withdraw(TALK, "bert")


def test_a_link_opens_until_it_is_revoked(shares: Shares, database: Database) -> None:
    """Only its hash is stored; it is not told again; another process sees its end, too."""
    changed, link, secret = shares.make_link(TALK, Role.EDITOR, "anna", None)
    assert len(secret) >= 32
    assert changed.access.links[link.link_id].role is Role.EDITOR
    assert secret not in str(database.read(lambda connection: connection.execute(select(links)).all()))
    assert shares.of(TALK)[1] == [link]
    found = shares.find_link(secret)
    assert found is not None
    assert (found.link_id, found.conversation_id) == (link.link_id, TALK)
    other = Shares(database)
    assert other.revoke(TALK, link.link_id).access.links == {}
    assert Shares(database).find_link(secret) is None
    with pytest.raises(NotFound):
        other.revoke(TALK, link.link_id)


def test_who_revokes_is_heard_at_once(shares: Shares) -> None:
    """What was found a moment ago is forgotten with it."""
    _, link, secret = shares.make_link(TALK, Role.VIEWER, "anna", None)
    assert shares.find_link(secret) is not None
    shares.revoke(TALK, link.link_id)
    assert shares.find_link(secret) is None


def test_a_link_runs_out(shares: Shares, database: Database) -> None:
    """Also one that was found a moment ago; dead ones are swept away by the next."""
    _, link, secret = shares.make_link(TALK, Role.VIEWER, "anna", 3600)
    assert link.expires_at is not None
    assert link.expires_at > link.created_at
    past = update(links).values(expires_at="2020-01-01T00:00:00.000Z")
    database.write(lambda connection: connection.execute(past))
    assert shares.find_link(secret) is None
    assert shares.load_access(TALK, "anna", None).links == {}
    shares.make_link(TALK, Role.VIEWER, "anna", None)
    assert len(database.read(lambda connection: connection.execute(select(links.c.link_id)).all())) == 1


@pytest.mark.parametrize("secret", ["", "x", "é" * 43, "a" * 43, "a" * 100_000, "../" * 14 + "a"])
def test_what_is_no_link_opens_nothing(shares: Shares, secret: str) -> None:
    """Whatever it looks like."""
    assert shares.find_link(secret) is None


def test_what_is_not_stored_cannot_be_shared(shares: Shares) -> None:
    """Nothing is half done."""
    with pytest.raises(InvalidState):
        shares.grant("other", "bert", Role.VIEWER, "anna")
    with pytest.raises(InvalidState):
        shares.make_link("other", Role.VIEWER, "anna", None)


def test_a_late_change_does_not_win_over_a_newer_one(shares: Shares) -> None:
    """Two requests change it at once; the first to be written is the last to be installed."""
    talk = Talk(Access("anna"))
    first, second = (shares.grant(TALK, who, Role.VIEWER, "anna")[0] for who in ("bert", "carl"))
    shares.install(talk, second)
    shares.install(talk, first)
    assert set(talk.access.users) == {"bert", "carl"}
    shares.install(talk, Changed(Access("anna"), second.number + 1))
    assert talk.access == Access("anna")

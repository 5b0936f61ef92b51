"""What was allowed when a connection was opened ends while it is open."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import pytest

from app.auth.identity import NOBODY, Principal
from app.auth.live import Live, Watched
from app.errors import NotPermitted
from app.protocol.close_codes import CloseCode
from app.protocol.events import AccessEnded, AuthExpiring, SignedOut
from app.streaming.access import Access, LinkGrant, Role
from tests.support.clock import HandClock

ANNA = Principal("usr_anna", "jwt", "Anna", expires_at=HandClock.unix + 100)
SIGNED_IN = replace(ANNA, kind="user", credential="sign_in:1")


@dataclass(eq=False)
class Talk:
    """A conversation, as far as the gate looks at it."""

    access: Access
    id: str = "talk"


class Client:
    """A connection that notes what becomes of it."""

    def __init__(self, principal: Principal = ANNA, *watches: Talk) -> None:
        self.principal = principal
        self.watches = list(watches)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.closed: CloseCode | None = None
        self.aborted = False

    def tell(self, name: str, payload: dict[str, Any]) -> object:
        self.told.append((name, payload))
        return True

    def dismiss(self, name: str, payload: dict[str, Any], code: CloseCode) -> None:
        assert self.closed is None, "it was dismissed twice"
        self.tell(name, payload)
        self.closed = code

    def abort(self) -> None:
        self.aborted = True

    def watched(self) -> Collection[Watched]:
        return self.watches

    def end_access(self, conversation_id: str, name: str, payload: dict[str, Any]) -> None:
        self.tell(name, payload)
        self.watches = [each for each in self.watches if each.id != conversation_id]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]


class Hall:
    """A registry whose time is moved by hand."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.live = Live(self.clock, self.clock.time, warn_s=60)

    def enter(self, *clients: Client) -> None:
        for client in clients:
            self.live.enter(client, self.live.ticket())

    def after(self, seconds: float) -> None:
        self.clock.unix += seconds
        self.clock.now += seconds
        self.live.tick()


@pytest.fixture
def hall() -> Hall:
    return Hall()


def test_a_connection_is_warned_once_and_ends_with_its_token(hall: Hall) -> None:
    """60 s before, then at the end, with what to do."""
    client = Client()
    hall.enter(client)
    hall.after(39)
    assert client.told == []
    for _ in range(5):
        hall.after(5)
    assert client.names == [AuthExpiring.name]
    assert client.told[0][1]["expires_at"] == "2027-01-15T08:01:40.000Z"
    hall.after(37)
    assert client.names == [AuthExpiring.name, SignedOut.name]
    assert (client.told[1][1]["code"], client.told[1][1]["action"]) == ("token_expired", "refresh")
    assert client.closed is CloseCode.TOKEN_EXPIRED


def test_a_short_token_is_warned_of_at_once(hall: Hall) -> None:
    """Less than 60 s are left when it comes."""
    client = Client(replace(ANNA, expires_at=hall.clock.unix + 3))
    hall.enter(client)
    hall.after(0)
    assert client.names == [AuthExpiring.name]


def test_one_that_has_run_out_is_not_told_that_it_will(hall: Hall) -> None:
    """The process slept through the warning."""
    client = Client()
    hall.enter(client)
    hall.after(1000)
    assert client.names == [SignedOut.name]


def test_a_sign_in_that_runs_out_wants_a_new_one(hall: Hall) -> None:
    """There is no token to refresh."""
    client = Client(SIGNED_IN)
    hall.enter(client)
    hall.after(100)
    assert client.told[-1][1]["action"] == "sign_in"
    assert client.closed is CloseCode.SIGNED_OUT


def test_a_fresh_token_counts_from_then_on(hall: Hall) -> None:
    """The old end is forgotten; the new one is warned of once more."""
    client = Client()
    hall.enter(client)
    hall.after(50)
    hall.live.renew(client, replace(ANNA, expires_at=hall.clock.unix + 300), hall.live.ticket())
    hall.after(200)
    assert client.names == [AuthExpiring.name]
    hall.after(50)
    assert client.names == [AuthExpiring.name] * 2
    hall.after(50)
    assert client.names[-1] == SignedOut.name


@pytest.mark.parametrize("other", [replace(ANNA, id="usr_bert"), replace(ANNA, tenant="acme"), NOBODY])
def test_somebody_elses_token_changes_nothing(hall: Hall, other: Principal) -> None:
    """Another person, another tenant, nobody."""
    client = Client()
    hall.enter(client)
    with pytest.raises(NotPermitted):
        hall.live.renew(client, other, hall.live.ticket())
    assert client.principal is ANNA
    hall.after(100)
    assert client.closed is CloseCode.TOKEN_EXPIRED


def test_renewing_keeps_the_links(hall: Hall) -> None:
    """They came with the connection, not with the token."""
    client = Client(replace(ANNA, links=frozenset({"l1"})))
    hall.enter(client)
    hall.live.renew(client, ANNA, hall.live.ticket())
    assert client.principal.links == {"l1"}


def test_a_weaker_token_ends_what_it_does_not_allow(hall: Hall) -> None:
    """Without the scope `read`, nothing is watched."""
    client = Client(ANNA, Talk(Access(ANNA.id)))
    hall.enter(client)
    hall.live.renew(client, replace(ANNA, scopes=frozenset({"write"})), hall.live.ticket())
    assert client.names == [AccessEnded.name]


@pytest.mark.parametrize(
    ("ended", "code"),
    [("sign_in:1", "signed_out"), ("user:usr_anna", "revoked"), ("token:1", None), ("sign_in:2", None)],
)
def test_what_ends_closes_its_connections_and_no_others(hall: Hall, ended: str, code: str | None) -> None:
    """Of one sign-in; of all of a person's."""
    client, other = Client(SIGNED_IN), Client(replace(SIGNED_IN, id="usr_bert", credential="sign_in:3"))
    hall.enter(client, other)
    hall.live.ended(ended)
    hall.live.ended(ended)
    assert [payload["code"] for _, payload in client.told] == ([code] if code else [])
    assert client.closed is (CloseCode.SIGNED_OUT if code else None)
    assert other.told == []


def test_what_ends_while_somebody_is_recognised_is_not_overlooked(hall: Hall) -> None:
    """Recognised, then revoked, then taken in: it is dismissed at once. A sign-in of afterwards is not."""
    ticket = hall.live.ticket()
    hall.live.ended("user:usr_anna")
    early, late = Client(SIGNED_IN), Client(SIGNED_IN)
    hall.live.enter(early, ticket)
    hall.enter(late)
    assert early.closed is CloseCode.SIGNED_OUT
    assert late.closed is None


def test_who_does_not_go_is_cut_off(hall: Hall) -> None:
    """3 s after the last word; who has left is left alone."""
    stays, goes = Client(), Client()
    hall.enter(stays, goes)
    hall.after(100)
    hall.live.leave(goes)
    hall.after(2)
    assert not stays.aborted
    hall.after(1)
    assert stays.aborted
    assert not goes.aborted


def test_who_may_no_longer_watch_is_told_and_gets_nothing_more(hall: Hall) -> None:
    """The owner goes on watching."""
    talk = Talk(Access(ANNA.id, users={"usr_bert": Role.VIEWER}))
    anna, bert = Client(ANNA, talk), Client(replace(ANNA, id="usr_bert"), talk)
    hall.enter(anna, bert)
    hall.live.access_changed(talk)
    assert bert.told == []
    talk.access = Access(ANNA.id)
    hall.live.access_changed(talk)
    assert bert.names == [AccessEnded.name]
    assert anna.told == []


def test_a_link_runs_out_under_who_watches(hall: Hall) -> None:
    """Nobody has changed anything."""
    talk = Talk(Access(ANNA.id, links={"l1": LinkGrant(Role.VIEWER, "2100-01-01T00:00:00.000Z")}))
    client = Client(replace(NOBODY, links=frozenset({"l1"})), talk)
    hall.enter(client)
    hall.after(1)
    assert client.told == []
    talk.access = Access(ANNA.id, links={"l1": LinkGrant(Role.VIEWER, "2020-01-01T00:00:00.000Z")})
    hall.after(1)
    assert client.names == [AccessEnded.name]


def test_nothing_is_kept_of_who_has_left(hall: Hall) -> None:
    """Not by their credential either."""
    client = Client(SIGNED_IN)
    hall.enter(client)
    hall.live.leave(client)
    hall.live.leave(client)
    hall.live.ended("sign_in:1")
    hall.after(1000)
    assert client.told == []
    assert (len(hall.live), hall.live._by_credential, hall.live._due) == (0, {}, [])

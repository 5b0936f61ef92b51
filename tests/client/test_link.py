"""The connection that is kept open, where the server refuses: credentials, and what may be tried again."""

from __future__ import annotations

from typing import Any

import pytest

from app.client import Client, ClientError, Connection
from app.client import link as link_module


class Refusing:
    """A wire to a server that refuses, in the place of the real one."""

    offered: list[Any]
    code: str
    retryable: bool
    later: float | None = None

    def __init__(self, **_: Any) -> None:
        self.ended = False

    def open(self, url: str, auth: Any, transport: str) -> None:
        self.offered.append(auth)
        raise ClientError(
            self.code, f"{url} over {transport} refused", retryable=self.retryable, retry_after_s=self.later
        )


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> type[Refusing]:
    """Refusals as the test says."""
    kind = type("Server", (Refusing,), {"offered": [], "code": "unauthenticated", "retryable": False})
    monkeypatch.setattr(link_module, "Wire", kind)
    return kind


def refusal_of(**options: Any) -> str:
    client = Client("http://example.test", reconnection_delay_s=0.01, reconnection_delay_max_s=0.02, **options)
    with pytest.raises(ClientError) as refused:
        client.connect(timeout_s=5)
    assert client.connection is Connection.CLOSED
    return refused.value.code


def test_credentials_that_stay_the_same_are_offered_once(refusing: type[Refusing]) -> None:
    """The server would only refuse them again; the other transport is not tried either."""
    assert refusal_of(auth={"token": "old"}) == "unauthenticated"
    assert refusing.offered == [{"token": "old"}]


def test_fresh_credentials_are_offered_three_times(refusing: type[Refusing]) -> None:
    """Each asked for anew; then a person has to look."""
    tokens = iter(range(10))
    assert refusal_of(auth=lambda: {"token": next(tokens)}) == "unauthenticated"
    assert refusing.offered == [{"token": 0}, {"token": 1}, {"token": 2}]


def test_what_may_pass_is_tried_again(refusing: type[Refusing]) -> None:
    """Until the time is up."""
    refusing.code, refusing.retryable = "limit_exceeded", True
    client = Client("http://example.test", reconnection_delay_s=0.01, reconnection_delay_max_s=0.02)
    with pytest.raises(ClientError, match="refused"):
        client.connect(timeout_s=0.3)
    assert len(refusing.offered) > 3


def test_a_server_that_says_when_to_come_back_is_not_asked_before(refusing: type[Refusing]) -> None:
    """However short the client's own waits are."""
    refusing.code, refusing.retryable, refusing.later = "limit_exceeded", True, 60.0
    client = Client("http://example.test", reconnection_delay_s=0.01, reconnection_delay_max_s=0.02)
    with pytest.raises(ClientError, match="refused") as refused:
        client.connect(timeout_s=0.3)
    assert refused.value.retry_after_s == 60
    assert len(refusing.offered) == 1


def test_a_server_that_is_not_reached_is_tried_over_every_transport(refusing: type[Refusing]) -> None:
    """Some ways let only long polling through."""
    refusing.code = "unreachable"
    assert refusal_of() == "unreachable"
    assert len(refusing.offered) == 2


def test_credentials_that_cannot_be_had_say_so() -> None:
    """The sign-in of the caller fails: it is asked again, until the time is up."""
    asked: list[int] = []

    def failing() -> dict[str, str]:
        asked.append(1)
        raise RuntimeError("the sign-in is down")

    client = Client("http://example.test", auth=failing, reconnection_delay_s=0.01, reconnection_delay_max_s=0.02)
    with pytest.raises(ClientError, match="the sign-in is down") as refused:
        client.connect(timeout_s=0.3)
    assert refused.value.code == "auth_failed"
    assert len(asked) > 1

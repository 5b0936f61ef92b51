"""Who is asking."""

from __future__ import annotations

import dataclasses

import pytest

from app.auth.gatekeeper import Gatekeeper
from app.auth.identity import GUEST
from app.errors import Unauthenticated


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::1%lo"])
def test_everybody_on_this_machine_is_local(address: str) -> None:
    """Loopback, in IPv4 and IPv6."""
    assert Gatekeeper().identify({"REMOTE_ADDR": address}) is GUEST


@pytest.mark.parametrize("address", ["", "192.0.2.1", "10.0.0.1", "0.0.0.0", "::", "fe80::1%eth0", "localhost", "1"])
def test_everybody_else_is_nobody(address: str) -> None:
    """Also where the address is missing or is none."""
    with pytest.raises(Unauthenticated):
        Gatekeeper().identify({"REMOTE_ADDR": address} if address else {})


def test_headers_make_nobody_local() -> None:
    """Only the connection's own address counts."""
    with pytest.raises(Unauthenticated):
        Gatekeeper().identify({"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1"})


def test_a_principal_cannot_be_changed() -> None:
    """It is shared by all requests."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        GUEST.id = "root"  # type: ignore[misc]  # that is the point

"""Who is stalled, silent or nameless, and who only reads slowly."""

from __future__ import annotations

from typing import Any, cast

from app.namespaces.delivery import Cut
from app.namespaces.frames import Packet
from app.namespaces.watch import Watch
from tests.namespaces.fakes import Kernel, Server, connected

SLOW_S = 30.0
PONG = "3"


class Clinic:
    """One connection and its watch, in a time of their own."""

    def __init__(self) -> None:
        self.server, self.kernel = Server(), Kernel()
        self.connection = connected(self.server, self.kernel)
        self.watch = Watch(cast(Any, self.server), SLOW_S)
        self.now = self.connection.opened_at

    def wait(self, seconds: float, *, reads_per_s: int = 0, pongs: bool = False) -> None:
        """Let time pass; look each second."""
        for _ in range(int(seconds)):
            self.now += 1.0
            self.kernel.acknowledged = min(len(self.kernel.taken), self.kernel.acknowledged + reads_per_s)
            if pongs and self.connection.pinged_at is not None:
                self.connection.pinged_at, self.connection.ping_at = None, self.now + 20
                self.connection.heard_at = self.now
            self.watch.look([self.connection], self.now)

    @property
    def reasons(self) -> list[str]:
        return list(self.server.delivery.cut_off)


def test_a_client_that_takes_nothing_is_stalled_though_it_answers_pings() -> None:
    """Something was outstanding all that time."""
    clinic = Clinic()
    clinic.connection.hand(Packet(b"4" * 500))
    clinic.wait(29, pongs=True)
    assert not clinic.reasons
    clinic.wait(3, pongs=True)
    assert clinic.reasons == [Cut.STALLED]
    assert clinic.kernel.ends == ["reset"]


def test_a_client_that_reads_slowly_is_never_cut_off() -> None:
    """Ten bytes a second are progress, and so its ping may stay unanswered until it has got there."""
    clinic = Clinic()
    clinic.connection.hand(Packet(b"4" * 900))
    clinic.wait(85, reads_per_s=10)
    assert not clinic.reasons


def test_an_idle_client_that_answers_pings_is_never_cut_off() -> None:
    """Nothing was outstanding."""
    clinic = Clinic()
    clinic.wait(200, reads_per_s=1_000, pongs=True)
    assert not clinic.reasons


def test_a_client_that_does_not_answer_a_ping_is_silent() -> None:
    """Its kernel takes everything, it takes nothing: 20 s to the ping, 10 s to the answer."""
    clinic = Clinic()
    clinic.wait(30, reads_per_s=1_000)
    assert not clinic.reasons
    clinic.wait(2, reads_per_s=1_000)
    assert clinic.reasons == [Cut.SILENT]


def test_a_client_that_goes_on_talking_is_not_silent() -> None:
    """Its commands say that it lives."""
    clinic = Clinic()
    for _ in range(20):
        clinic.wait(5, reads_per_s=1_000)
        clinic.connection.heard_at = clinic.now
    assert not clinic.reasons


def test_a_session_without_a_namespace_is_ended() -> None:
    """After as long as a ping and its answer may take."""
    clinic = Clinic()
    clinic.connection.named = False
    clinic.wait(32, reads_per_s=1_000, pongs=True)
    assert clinic.reasons == [Cut.NAMELESS]

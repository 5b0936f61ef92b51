"""Pings of clients that say nothing."""

from __future__ import annotations

from app.http.sockets.idle import Idle, IdleWatch


def watch() -> IdleWatch:
    return IdleWatch(0, idle_ping_s=300, ping_timeout_s=10)


def test_silence_is_pinged_again_and_again() -> None:
    """A client whose library answers stays for ever, though it says nothing itself."""
    idle = watch()
    assert idle.look(100, heard_at=99, unsent_bytes=0) == (Idle.NOTHING, 200)
    assert idle.look(300, heard_at=299, unsent_bytes=0) == (Idle.PING, 10)
    assert idle.look(304, heard_at=299, unsent_bytes=0) == (Idle.NOTHING, 6)
    assert idle.look(305, heard_at=305, unsent_bytes=0) == (Idle.NOTHING, 295)
    assert idle.look(600, heard_at=305, unsent_bytes=0)[0] is Idle.PING


def test_a_message_ends_the_silence() -> None:
    """Then it begins anew."""
    idle = watch()
    idle.said(250)
    assert idle.look(300, heard_at=250, unsent_bytes=0) == (Idle.NOTHING, 250)


def test_no_answer() -> None:
    """Gone; but not as long as the ping may still be on its way, behind what a slow client has not taken yet."""
    idle = watch()
    idle.look(300, heard_at=0, unsent_bytes=0)
    assert idle.look(310, heard_at=0, unsent_bytes=5)[0] is Idle.NOTHING
    assert idle.look(311, heard_at=0, unsent_bytes=0)[0] is Idle.GONE

"""Hostile frames: answered or closed, nothing in the log, nothing left behind, and a neighbour who notices nothing.

A failure shows the attack with its exact bytes; ``make chaos`` sends 100,000 frames.
"""

from __future__ import annotations

import random

import pytest

from tests.chaos.attacks import Attack
from tests.chaos.campaign import MODES, chosen_seed
from tests.chaos.frames import frame, hostile_frame, hostile_text
from tests.chaos.hostile import barrage


def all_is_well(mode: str, frames: int) -> None:
    seed = chosen_seed()
    print(f"CHAOS_SEED={seed} CHAOS_RUNS=0 CHAOS_FRAMES={frames} CHAOS_MODES={mode} make chaos")
    report = barrage(mode, seed, frames)
    print(report)
    assert not report.problems, f"CHAOS_SEED={seed}\n" + "\n".join(report.problems)
    assert report.frames >= frames
    assert report.ended["answered"], "some connections survive, and answer"
    assert report.ended["closed"], "some do not"


def test_frames_are_their_seeds() -> None:
    """What a seed has found, it finds again."""
    made = [[make(random.Random(seed)) for make in (hostile_text, hostile_frame)] for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 65_535, 65_536])
def test_a_right_frame_is_right(size: int) -> None:
    """The frames that are not meant to be broken are understood by a WebSocket library."""
    from wsproto import ConnectionType
    from wsproto.connection import Connection
    from wsproto.events import TextMessage

    server = Connection(ConnectionType.SERVER)
    server.receive_data(frame(b"x" * size))
    said = "".join(event.data for event in server.events() if isinstance(event, TextMessage))
    assert said == "x" * size


async def test_an_attack_on_nobody_is_closed(free_port: object) -> None:
    """Where nobody listens there is nothing to hang on."""
    attack = Attack(1, 1)
    await attack.carry_out(free_port())  # type: ignore[operator]  # a fixture that is a function
    assert attack.ended == "closed"


def test_hostile_frames() -> None:
    """A few thousand, beside a conversation that goes on."""
    all_is_well("eventlet", 2_000)


@pytest.mark.matrix
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", MODES)
def test_hostile_frames_in_each_mode(mode: str) -> None:
    """More of them."""
    all_is_well(mode, 6_000)

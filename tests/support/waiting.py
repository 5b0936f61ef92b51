"""Waiting for a condition, in the place of a sleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tests.conftest import TIMEOUT_SCALE

Value = TypeVar("Value")

_EVERY_S = 0.02


def wait_until(condition: Callable[[], Value], what: str = "it", within_s: float = 10.0) -> Value:
    """Ask again and again until the answer is true, and return it.

    :param within_s: multiplied by TIMEOUT_SCALE.
    :raises TimeoutError: when ``what`` never came.
    """
    deadline = time.monotonic() + within_s * TIMEOUT_SCALE
    never = threading.Event()
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {within_s:g} s")
        never.wait(_EVERY_S)
    return value

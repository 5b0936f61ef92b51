"""What a framework brings along is no garbage: it is looked through no more."""

from __future__ import annotations

import asyncio

import pytest

from app.adapters.demo import DemoAdapter
from app.runner import run as module


async def test_what_a_framework_imports_is_set_aside_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A little after its first run; collections stopped all runs of the process for 40 to 150 ms."""
    frozen, settled = [], asyncio.Event()

    def freeze() -> None:
        frozen.append(1)
        settled.set()

    monkeypatch.setattr(module, "SETTLED_S", 0.0)
    monkeypatch.setattr(module, "_known", set())
    monkeypatch.setattr(module.gc, "freeze", freeze)
    for _ in range(2):
        module._set_imports_aside(DemoAdapter)
    await settled.wait()
    await asyncio.sleep(0)  # a second one was due in the same turn of the loop
    assert frozen == [1]

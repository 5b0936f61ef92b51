"""Which models may answer: stored, of the environment, bundled; and how the list changes while it is used."""

from __future__ import annotations

from typing import Any

import pytest

from app.concurrency import AsyncMode
from app.runner import models
from app.runner.models import ModelDirectory
from app.runner.wire import ProviderSpec
from app.settings import load_settings

STORED = ProviderSpec(name="Stored", kind="openai", model="m", base_url="http://127.0.0.1:1/v1", label="m")


class FakeLocal:
    """Stands in for the bundled model's process, which takes seconds and 100 MB."""

    problem = None

    def __init__(self, *_: Any) -> None:
        self.starts = 0

    def start(self) -> None:
        self.starts += 1

    def provider(self, wait_s: float = 0) -> ProviderSpec:
        return ProviderSpec(name="local", kind="local", model="small")


@pytest.fixture(autouse=True)
def fake_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "LocalModel", FakeLocal)


def directory(**settings: Any) -> ModelDirectory:
    return ModelDirectory(load_settings(None, **settings), AsyncMode("threading"))


def names(of: ModelDirectory) -> list[str]:
    return [spec.name for spec in of.providers()]


def starts(of: ModelDirectory) -> int | None:
    local: Any = of.local
    return None if local is None else local.starts


def test_the_bundled_model_makes_room_for_stored_ones_and_comes_back() -> None:
    """It is not started twice, and not ended: somebody may be talking with it."""
    models_of = directory()
    models_of.start()
    assert (names(models_of), starts(models_of)) == (["local"], 1)
    models_of.use((STORED,))
    assert names(models_of) == ["Stored"]
    models_of.use(())
    assert (names(models_of), starts(models_of)) == (["local"], 1)


def test_what_is_stored_before_the_start_spares_the_bundled_model() -> None:
    """It is loaded when the last stored provider goes."""
    models_of = directory()
    models_of.use((STORED,))
    models_of.start()
    assert starts(models_of) is None
    models_of.use(())
    assert (names(models_of), starts(models_of)) == (["local"], 1)


def test_fallback_local_stands_last() -> None:
    """After what is stored and what the environment brings."""
    models_of = directory(openai_base_url="http://127.0.0.1:2/v1", fallback_local=True)
    models_of.use((STORED,))
    models_of.start()
    assert names(models_of) == ["Stored", "openai", "local"]
    assert models_of.label() == "m at http://127.0.0.1:1/v1"


def test_without_the_bundled_one_nobody_may_be_left() -> None:
    """LOCAL_MODEL=false: the sentence says what is missing."""
    models_of = directory(local_model=False)
    models_of.start()
    assert names(models_of) == []
    assert "/settings" in str(models_of.problem())
    models_of.use((STORED,))
    assert models_of.problem() is None

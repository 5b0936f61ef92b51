"""The real Colloquy server for tests and benchmarks: ``run.py`` as a process of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from tests.support.http import http_json
from tests.support.processes import ROOT, ServerProcess

# What a developer's own shell might set, and what would change which model answers.
UNSET = (
    "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "PORT",
    "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL", "OLLAMA_MODEL", "OLLAMA_HOST",
)  # fmt: skip


class ColloquyServer(ServerProcess):
    """A running server on a free port of loopback. A context manager; every method blocks.

    Without ``OPENAI_BASE_URL`` in ``env`` no model is configured; the bundled one is off unless ``LOCAL_MODEL`` says
    otherwise, so conversations are demos.

    :param model_url: shorthand for ``OPENAI_BASE_URL`` with a placeholder key, e.g. ``ModelServer().url``.
    :param model: the model's name, with ``model_url``.
    :param env: settings and other environment; wins over the rest; None as a value removes the name.
    :param args: further arguments of ``run.py``.
    :param python: the interpreter that runs it.
    :param prefix: a program, with its arguments, that starts it.
    """

    def __init__(
        self,
        *,
        model_url: str | None = None,
        model: str = "scripted",
        env: Mapping[str, str | None] | None = None,
        args: tuple[str, ...] = (),
        prefix: tuple[str, ...] = (),
        python: str = sys.executable,
        ready_timeout_s: float = 30.0,
    ) -> None:
        settings: dict[str, str | None] = dict.fromkeys(UNSET)
        self._data_dir = tempfile.TemporaryDirectory(prefix="colloquy-data-")
        settings |= {"LOCAL_MODEL": "false", "DATA_DIR": self._data_dir.name}
        settings["TEAMS_DIR"] = f"{self._data_dir.name}/teams"  # not a developer's own
        if model_url is not None:
            settings |= {"OPENAI_BASE_URL": model_url, "OPENAI_MODEL": model, "OPENAI_API_KEY": "not-a-key"}
        super().__init__(
            [*prefix, python, "run.py", "--port", "0", *args],
            ready_pattern=rb"ready at http://127\.0\.0\.1:(\d+)",
            env=settings | dict(env or {}),
            cwd=ROOT,
            ready_timeout_s=ready_timeout_s,
        )

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            super().__exit__(kind, *rest)
        finally:
            self._data_dir.cleanup()

    @property
    def url(self) -> str:
        """The server's address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def data_dir(self) -> str:
        """The folder for what the server writes."""
        return self._data_dir.name

    def get(self, path: str) -> Any:
        """The parsed JSON of a GET."""
        return http_json("GET", self.url + path)

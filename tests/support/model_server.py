"""A stand-in for an outside model provider: an OpenAI-compatible HTTP server that replies from a script.

It is the one piece of the world around Colloquy that tests and benchmarks must not take as it comes: a real provider
costs money, needs a key and cannot be told to fail on cue. Nothing of Colloquy itself is replaced; its runners talk
real HTTP to this process. How it behaves: :mod:`tests.support.model_behaviour`.

    python -m tests.support.model_server --port 0      # prints {"port": …}; ends at SIGTERM, or when its stdin closes

    with ModelServer() as model:
        model.control(tokens=100, token_delay_ms=20, markers=True)
        …  # OPENAI_BASE_URL=model.url, OPENAI_MODEL=scripted, or a preset such as status-429 or `scripted?tokens=5`
        assert model.stats()["open"] == 0

Routes: ``POST …/chat/completions``, ``POST …/v1/messages`` (Anthropic's), ``GET …/models``, ``POST /control``,
``GET /stats?since=&messages=1&queues=0``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.support.http import http_json
from tests.support.processes import ServerProcess


class ModelServer(ServerProcess):
    """The scripted model as a process of its own. A context manager; every method blocks.

    :param port: 0 for any free one.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(
            [sys.executable, "-m", "tests.support.model_server", "--port", str(port)],
            ready_pattern=rb'\{"port": (\d+)\}',
            stdin_pipe=True,
        )

    @property
    def url(self) -> str:
        """The base URL for OpenAI clients, with ``/v1``."""
        return f"http://127.0.0.1:{self.port}/v1"

    def control(self, **options: Any) -> None:
        """Change the behaviour: fields of ``Behaviour``, beside ``model``, ``reset`` and ``open``.

        :raises HttpError: for an unknown option.
        """
        http_json("POST", f"http://127.0.0.1:{self.port}/control", options)

    def stats(self, *, since: int = 0, messages: bool = True, queues: bool = False) -> dict[str, Any]:
        """What has been asked and answered; see ``Model.stats`` and ``Record`` for the fields."""
        query = f"since={since}&messages={int(messages)}&queues={int(queues)}"
        shown: dict[str, Any] = http_json("GET", f"http://127.0.0.1:{self.port}/stats?{query}")
        return shown

    def wait_for(
        self, condition: Callable[[dict[str, Any]], bool], *, timeout_s: float = 5.0, messages: bool = False
    ) -> dict[str, Any]:
        """Ask for the statistics until they fulfil a condition.

        :raises TimeoutError: with the last statistics, after ``timeout_s``.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            shown = self.stats(messages=messages)
            if condition(shown):
                return shown
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"the model server never came to it: {json.dumps(shown)[-2000:]}")
            time.sleep(0.01)

    def settled_bytes(self, *, timeout_s: float = 10.0) -> int:
        """What the last request's client has taken, once nothing moves any more: all buffers between are full.

        While bytes are on their way, what is in the two kernels' queues cannot be told exactly.

        :raises TimeoutError: it never settles: somebody goes on reading.
        """
        deadline_s = time.monotonic() + timeout_s
        last, same = -1, 0
        while same < 10:
            request = self.stats(messages=False, queues=True)["requests"][-1]
            same = same + 1 if request["bytes_taken"] == last else 0
            last = request["bytes_taken"]
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"the client goes on reading: {request}")
            time.sleep(0.01)
        return int(last)


async def serve(host: str, port: int) -> None:
    """Serve until SIGTERM, SIGINT, or the end of a standard input that is a pipe."""
    from tests.support.model_http import Connection, Model

    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        loop.add_reader(0, _read_stdin, loop, over)
    model = Model()
    server = await loop.create_server(lambda: Connection(model), host, port, backlog=1024)
    gc.freeze()
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await over.wait()
    server.close()
    for connection in list(model.connections):
        connection.transport.abort()


def _read_stdin(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    if not os.read(0, 4096):
        loop.remove_reader(0)
        over.set()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A scripted OpenAI-compatible model server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    options = parser.parse_args()
    asyncio.run(serve(options.host, options.port))


if __name__ == "__main__":
    main()

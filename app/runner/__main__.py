"""The agent process: ``python -m app.runner FD``, started by the web process with one end of a socket pair.

Plain asyncio, in a session of its own. Ends with the link's end of file or SIGTERM, within a second.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import warnings
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.runner.host import Host
from app.runner.lifeline import end_group, watch_parent

MAX_THREADS = 32
OOM_SCORE = 500
"""Of 1000: where memory runs out, Linux ends this process before the server; its conversations go on in a new one."""


def main() -> None:
    """The command line: the descriptor of the socket."""
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        sys.exit("usage: python -m app.runner FD (the web process starts it)")
    with suppress(OSError):  # other systems have no such file
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the web process decides
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="runner %(process)d %(levelname)s %(message)s")
    for name in (
        "autogen_core",
        "autogen_agentchat",
        "autogen_ext",
        "autogen",
        "ag2",
        "openai",
        "httpx",
        "httpx2",
        "asyncio",
        "httpcore2",
        "mcp",
        "trafilatura",
        "htmldate",
    ):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they log contents, or what a stop breaks off
    warnings.simplefilter("ignore")
    _run(_serve(int(sys.argv[1])))
    end_group(signal.SIGTERM)


def _run(serving: Coroutine[Any, Any, None]) -> None:
    """Run to the end, whatever a user's code raises: a task that ends as ``SystemExit`` ends no other conversation.

    asyncio keeps it for whoever waits for the task, too, and leaves its loop to be run again.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(serving)
        while not task.done():
            with suppress(KeyboardInterrupt, SystemExit):
                loop.run_until_complete(task)


async def _serve(fd: int) -> None:
    host = Host()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(MAX_THREADS))  # else six on two cores: a few slow names fill them
    loop.add_signal_handler(signal.SIGTERM, host.leave)
    watch_parent(fd, host.leave)
    gc.collect()
    gc.freeze()
    await host.serve(fd)
    await host.link.drained(0.1)
    end_group(signal.SIGTERM)  # here, not after asyncio.run: a user's threads and tasks must not hold us up


if __name__ == "__main__":
    main()

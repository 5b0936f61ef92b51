"""A TCP forwarder that can be cut: between a client and a server, in threads of its own, all ended with it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Self

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Forwarder:
    """Forwards a free port of loopback to a server's. A context manager."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.accepted = 0
        self.port = 0
        self._flowing_down = threading.Event()
        self._flowing_down.set()
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.accept()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.refuse()
        for thread in self._threads:
            thread.join(5)

    def accept(self) -> None:
        """Take connections, again on the same port."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._spawn(self._accept, listener)

    def refuse(self) -> None:
        """Cut all connections, and refuse further ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes its accept
            listener.close()
        self.cut()

    def cut(self) -> None:
        """Reset all connections, towards both ends."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for sock in pair:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                    sock.shutdown(socket.SHUT_RDWR)
        self._flowing_down.set()

    def swallow_answers(self) -> None:
        """Let nothing more through from the server to the client, until the connections are cut."""
        self._flowing_down.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self.accepted += 1
            with self._lock:
                self._pairs.append((client, server))
            both_done = threading.Barrier(2, action=lambda a=client, b=server: (a.close(), b.close()))
            self._spawn(self._pump, client, server, None, both_done)
            self._spawn(self._pump, server, client, self._flowing_down, both_done)

    def _pump(
        self, source: socket.socket, sink: socket.socket, flowing: threading.Event | None, done: threading.Barrier
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65_536):
                if flowing is not None and not flowing.is_set():
                    flowing.wait()
                    break  # what was held back is lost with the connection
                sink.sendall(chunk)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        done.wait(10)

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="forwarder", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

"""A real PostgreSQL for tests and benchmarks: a cluster of its own in a temporary folder, on a port of loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg2

_WAIT_S = 30.0
_ARGUMENTS = ("-c", "fsync=off", "-c", "max_connections=50", "-c", "shared_buffers=16MB", "-c", "log_statement=none")


class PostgresMissing(RuntimeError):
    """There is no PostgreSQL on this machine."""


class PostgresServer:
    """A running server. A context manager: leaving it ends the server and removes its folder.

    PostgreSQL refuses to be root; as root it runs as ``nobody``.
    """

    def __init__(self) -> None:
        self._binaries = _binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="colloquy-postgres-"))
        self._as_other: list[str] = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            self._as_other = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        self._child: subprocess.Popen[bytes] | None = None
        self._log = self._folder / "server.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def __enter__(self) -> Self:
        arguments = ["-D", str(self._folder / "data"), "-U", "colloquy", "-A", "trust", "-E", "UTF8", "--no-sync"]
        command = [*self._as_other, str(self._binaries / "initdb"), *arguments, "--locale=C.UTF-8"]
        made = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        postgres = str(self._binaries / "postgres")
        where = ["-D", str(self._folder / "data"), "-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._folder)]
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [*self._as_other, postgres, *where, *_ARGUMENTS],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _WAIT_S
        while True:
            try:
                psycopg2.connect(self.url_of("postgres"), connect_timeout=5).close()
                return
            except psycopg2.OperationalError:
                if self._child.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}") from None
            time.sleep(0.05)

    @property
    def running(self) -> bool:
        return self._child is not None

    def stop(self) -> None:
        """End it at once, as a crash would for those who are connected; what was committed stays."""
        child, self._child = self._child, None
        if child is None:
            return
        child.send_signal(signal.SIGQUIT)
        try:
            child.wait(_WAIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def url_of(self, name: str) -> str:
        """The address of a database."""
        return f"postgresql://colloquy@127.0.0.1:{self.port}/{name}"

    def new_database(self, like: str | None = None) -> str:
        """The address of a new database: an empty one, or a copy of ``like``, the address of one that nobody uses."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        connection = psycopg2.connect(self.url_of("postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                template = "" if like is None else f" TEMPLATE {like.rpartition('/')[2]}"
                cursor.execute(f"CREATE DATABASE {name}{template}")
        finally:
            connection.close()
        return self.url_of(name)


def _binaries() -> Path:
    """The folder with ``initdb`` and ``postgres``. :raises PostgresMissing:"""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))  # Debian does not put them on the path
    if not versions:
        raise PostgresMissing("no PostgreSQL on this machine: apt-get install postgresql")
    return versions[-1].parent

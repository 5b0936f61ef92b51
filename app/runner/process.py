"""One runner process, as the web process sees it: started, spoken with, ended."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel

from app.errors import RunnerLost
from app.protocol.common import Usage
from app.protocol.events import MessageDelta
from app.runner.environment import child_environment
from app.runner.output import Output
from app.runner.wire import MAX_LINE_BYTES, Answer, Budget, Control, Grant, Ping, StartRun
from app.streaming.ports import Concurrency, RunSink

logger = logging.getLogger(__name__)

SHARED = "shared"  # the key of the runners that carry the bundled teams
_MAX_UNSENT = 20_000  # messages to a runner that does not read: it hangs
_CONTROL_TIMEOUT_S = 2.0  # a runner that takes longer to stop a run is killed; its other runs are resumed
_SILENT_TICKS = 2  # a runner that is asked for a sign of life once more than so gets no further runs
_EXIT_S = 1.0  # from the end of the socket to the end of the process
_RECEIVE_BYTES = 262_144
_PROJECT = Path(__file__).resolve().parents[2]


class RunnerProcess:
    """One runner: the process, the socket to it, and the runs that it carries.

    A greenlet reads, another one writes; whoever sends only queues. When the process is gone, every sink hears it.
    """

    def __init__(
        self,
        key: str,
        concurrency: Concurrency,
        on_exit: Callable[[RunnerProcess], None],
        *,
        version: str = "",
        on_idle: Callable[[RunnerProcess], None] = lambda runner: None,
    ) -> None:
        self.key = key
        self.version = version
        self.alive = True
        self.ready = False
        self.convalescent = False
        self._unheard = 0
        self._on_exit = on_exit
        self._on_idle = on_idle
        self._sinks: dict[str, RunSink] = {}
        self._ended: dict[str, Usage] = {}
        self._replies: dict[int, dict[str, Any] | None] = {}
        self._seq = 0
        self._outbox: deque[bytes] = deque()
        self._changed = concurrency.condition()  # guards the fields above
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise RunnerLost(f"the agent process could not be started: {error}") from error
        self._socket = ours
        output = Output(key, concurrency) if key != SHARED else None
        environment = {"PYTHONPATH": os.pathsep.join([str(_PROJECT), os.environ.get("PYTHONPATH", "")])}
        if output is not None:
            environment["PYTHONUNBUFFERED"] = "1"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.runner", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output.theirs.fileno() if output is not None else None,
                stderr=output.theirs.fileno() if output is not None else None,
                start_new_session=True,
                cwd=_PROJECT,
                env=child_environment(**environment),
            )
        except OSError as error:
            ours.close()
            if output is not None:
                output.close()
            raise RunnerLost(f"the agent process could not be started: {error}") from error
        finally:
            theirs.close()
        if output is not None:
            output.begin()
        self.pid = self._process.pid
        concurrency.spawn(self._read)
        concurrency.spawn(self._write)

    @property
    def runs(self) -> int:
        """How many runs it carries."""
        return len(self._sinks)

    @property
    def silent(self) -> bool:
        """Whether it has not answered lately: something blocks its event loop."""
        return self._unheard > _SILENT_TICKS

    def tick(self) -> int:
        """Ask for a sign of life.

        :returns: how often it has been asked in vain since it was last heard. Not seconds: where this process itself
            has stood still, nobody has asked.
        """
        if self._process.poll() is not None:  # what it has forked may hold its end of the socket
            self.hang_up()
        elif self.ready:
            self._unheard += 1
            self.send(Ping())
        return self._unheard

    def start(self, run: StartRun, sink: RunSink) -> RunnerRun:
        """Begin a run here.

        :raises RunnerLost: when the process is gone.
        """
        order = _line(run)
        with self._changed:
            if not self.alive:
                raise RunnerLost("the agent process is gone")
            self._sinks[run.session] = sink
        self._queue(order)
        return RunnerRun(self, run.session)

    def send(self, message: BaseModel) -> None:
        """Queue a message; nothing happens if the process is gone."""
        self._queue(_line(message))

    def _queue(self, line: bytes) -> None:
        with self._changed:
            if not self.alive:
                return
            self._outbox.append(line)
            stuck = len(self._outbox) > _MAX_UNSENT
            self._changed.notify_all()
        if stuck:
            logger.error("runner %d does not read what it is sent; it is killed", self.pid)
            self.kill()

    def ask(self, make: Callable[[int], BaseModel], timeout_s: float) -> dict[str, Any]:
        """Send a message with a sequence number, and wait for its reply.

        :raises RunnerLost: when the process is gone, or no reply comes in time.
        """
        with self._changed:
            self._seq += 1
            seq = self._seq
            self._replies[seq] = None
        self.send(make(seq))
        with self._changed:
            self._changed.wait_for(lambda: self._replies[seq] is not None or not self.alive, timeout_s)
            reply = self._replies.pop(seq)
        if reply is None:
            raise RunnerLost("the agent process is gone" if not self.alive else "the agent process does not answer")
        return reply

    def await_ready(self, timeout_s: float) -> None:
        """Wait until it takes orders.

        :raises RunnerLost: when it dies before, or does not come to it in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.ready or not self.alive, timeout_s) or not self.alive:
                raise RunnerLost("the agent process did not start")

    def usage_of_ended(self, session: str) -> Usage | None:
        """What an ended run has spent; None while it is running."""
        with self._changed:
            return self._ended.get(session)

    def kill(self) -> None:
        """End the process and whatever it started, at once."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()

    def last_words(self) -> str:
        """How its process ended: ``SIGSEGV``, ``exit status 1``. Waits a moment for it."""
        try:
            status = self._process.wait(_EXIT_S)
        except subprocess.TimeoutExpired:
            return "it has not ended yet"
        return f"exit status {status}" if status >= 0 else signal.Signals(-status).name

    def hang_up(self) -> None:
        """Close the socket to it: it ends by itself."""
        with self._changed:
            self.alive = False
            self._changed.notify_all()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed already

    def wait(self, deadline: float) -> None:
        """Wait for its end until ``deadline`` of the monotonic clock; then kill it."""
        try:
            self._process.wait(max(0.05, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    # --- the two greenlets --------------------------------------------------------------------------------------------

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._outbox or not self.alive)
                if not self.alive:
                    return
                lines = b"".join(self._outbox)
                self._outbox.clear()
            try:
                self._socket.sendall(lines)
            except OSError:
                return  # the reader sees the end

    def _read(self) -> None:
        rest: list[bytes] = []  # of a line whose end has not come; a whole message may be megabytes long
        size_bytes = 0
        try:
            while True:
                piece = self._socket.recv(_RECEIVE_BYTES)
                if not piece:
                    break
                first, *lines = piece.split(b"\n")
                rest.append(first)
                size_bytes += len(first)
                if lines:
                    for message in joined_deltas(_parsed(line) for line in (b"".join(rest), *lines[:-1])):
                        self._take(message)
                    rest, size_bytes = [lines[-1]], len(lines[-1])
                elif size_bytes > MAX_LINE_BYTES:
                    raise ValueError("a line without end")
        except OSError:
            pass  # the same as the end
        except (ValueError, KeyError, TypeError):
            logger.exception("runner %d spoke nonsense; it is killed", self.pid)
            self.kill()
        finally:
            self._gone()

    def _take(self, message: dict[str, Any]) -> None:
        self._unheard = 0
        op = message["op"]
        if op == "event":
            sink = self._sinks.get(message["session"])
            if sink is not None:
                sink.on_event(message["name"], message["payload"], message["tokens"], message["demo"])
        elif op == "spent":
            sink = self._sinks.get(message["session"])
            if sink is not None:
                sink.on_spent(message["tokens"], message["wanted"])
        elif op == "artifact":
            sink = self._sinks.get(message["session"])
            if sink is not None:
                sink.on_artifact(message["artifact_id"], message["media_type"], base64.b64decode(message["data"]))
        elif op == "checkpoint":
            sink = self._sinks.get(message["session"])
            if sink is not None:
                sink.on_checkpoint(message["state"])
        elif op == "reply":
            with self._changed:
                if message["seq"] in self._replies:
                    self._replies[message["seq"]] = message
                self._changed.notify_all()
        elif op == "ended":
            usage = Usage(**message["usage"])
            with self._changed:
                sink = self._sinks.pop(message["session"], None)
                self._ended[message["session"]] = usage
                while len(self._ended) > 1000:
                    del self._ended[next(iter(self._ended))]
                self._changed.notify_all()
            if sink is not None:
                sink.on_ended(message["outcome"], message["code"], message["message"], message["retryable"], usage)
            if not self._sinks:
                self._on_idle(self)
        elif op == "hello":
            with self._changed:
                self.ready = True
                self._changed.notify_all()

    def _gone(self) -> None:
        with self._changed:
            self.alive = False
            sinks, self._sinks = list(self._sinks.values()), {}
            self._outbox.clear()
            self._changed.notify_all()
        self._socket.close()
        self.wait(time.monotonic() + _EXIT_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # what it has started, and could not end
        self._on_exit(self)
        for sink in sinks:
            sink.on_lost()


def joined_deltas(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What one read has brought, neighbouring deltas of one message joined: who is behind catches up in few frames."""
    kept: list[dict[str, Any]] = []
    last: dict[str, dict[str, Any]] = {}  # session → its last message, where that is a delta
    for message in messages:
        session = message.get("session", "")
        if message["op"] != "event" or message["name"] != MessageDelta.name:
            last.pop(session, None)
            kept.append(message)
            continue
        before, payload = last.get(session), message["payload"]
        if before is not None and _is_one(before, message):
            before["payload"]["delta"] += payload["delta"]
            before["payload"]["tokens"] += payload["tokens"]
            before["tokens"] += message["tokens"]
        else:
            last[session] = message
            kept.append(message)
    return kept


def _is_one(first: dict[str, Any], second: dict[str, Any]) -> bool:
    same_message = first["payload"]["message_id"] == second["payload"]["message_id"]
    return bool(same_message and first["demo"] == second["demo"])


def _line(message: BaseModel) -> bytes:
    return message.model_dump_json(by_alias=True).encode() + b"\n"


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = orjson.loads(line)
    except ValueError:  # it refuses half a surrogate pair, which a team may have said
        parsed = json.loads(line)
    return parsed


class RunnerRun:
    """A run in a runner. Implements :class:`app.streaming.ports.RunHandle`."""

    def __init__(self, runner: RunnerProcess, session: str) -> None:
        self._runner = runner
        self._session = session

    def pause(self) -> None:
        self._control("pause")

    def resume(self) -> None:
        self._control("resume")

    def stop(self) -> Usage:
        reply = self._control("stop")
        usage = reply.get("result", {}).get("usage")
        return Usage(**usage) if usage else self._runner.usage_of_ended(self._session) or Usage()

    def grant(self, allowed: int) -> None:
        self._runner.send(Grant(session=self._session, allowed=allowed))

    def answer(self, answer: Answer) -> None:
        self._runner.send(answer)

    def allow(self, allowed: int, wanted: int) -> None:
        self._runner.send(Budget(session=self._session, allowed=allowed, wanted=wanted))

    def _control(self, op: Literal["pause", "resume", "stop"]) -> dict[str, Any]:
        if self._runner.usage_of_ended(self._session) is not None:
            return {}
        try:
            return self._runner.ask(lambda seq: Control(op=op, session=self._session, seq=seq), _CONTROL_TIMEOUT_S)
        except RunnerLost:
            if self._runner.alive and op != "stop":  # its event loop is blocked, by an import for example:
                return {}  # nothing is read meanwhile, and the order is the first that it carries out afterwards
            if self._runner.alive:
                logger.error("runner %d did not %s within %g s; it is killed", self._runner.pid, op, _CONTROL_TIMEOUT_S)
                self._runner.kill()
            raise

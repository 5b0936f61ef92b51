"""One Engine.IO connection: what waits for its client, its writer, and its reader."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from engineio import packet as engineio_packet
from engineio.exceptions import EngineIOError
from engineio.socket import Socket

from app.auth.seats import Seat
from app.namespaces.backlog import Backlog
from app.namespaces.delivery import Cut
from app.namespaces.frames import Bundle, Packet
from app.namespaces.stream import Stream
from app.namespaces.websocket import SWITCHING_PROTOCOLS, WebSocketCore
from app.wsgi import end_without_response

if TYPE_CHECKING:
    from app.namespaces.engine import EngineServer

logger = logging.getLogger(__name__)

_RECEIVE_BYTES = 4096  # so many tiny frames keep the event loop for 5 ms
_BODY_PACKETS = 256  # that a client may send in one POST
_SLACK_BYTES = 65_536  # two answers' worth may wait for a client that has to fetch them before it counts as lagging
_PROBE_S = 10.0  # from the probe to the upgrade
_SEPARATOR = "\x1e"

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = "0123456"
_NOOP = Packet(NOOP.encode())
_CLOSE = Packet(CLOSE.encode())
_PING = Packet(PING.encode())


class Malformed(EngineIOError):  # type: ignore[misc]  # python-engineio has no types
    """The client does not keep to the protocol: its connection is closed."""


class Connection(Socket):  # type: ignore[misc]  # python-engineio has no types
    """Replaces the library's socket, whose queue has no bound, and whose writer costs more than what it writes.

    A WebSocket is written to directly, without waiting, by whoever has something for it. What the kernel does not take
    waits as bytes, before everything else, PING included, and a writer of its own lives as long as something waits.
    Until there is a WebSocket, packets wait to be fetched by long polling.

    Safe to use from several threads or greenlets. Nothing here lets others run but the reader's side
    (:meth:`handle_get_request`, :meth:`handle_post_request`) and :meth:`wait_for_space`.

    ``waiting_bytes``: what waits now. ``behind``: more waits than a client that takes things may leave: with a
    WebSocket anything at all, else more than 64 KiB. ``direct``: writes frames as they are, for whoever has made sure
    that nothing waits; None where that is not possible (long polling, compression, TLS, threads).
    """

    def __init__(self, server: EngineServer, sid: str) -> None:  # not the base's, which makes a queue
        self.server: EngineServer = server
        self.sid = sid
        self.connected = self.upgrading = self.upgraded = False
        self.closing = self.closed = False
        self.seat: Seat | None = None
        self.session: dict[str, Any] = {}
        self.named = False
        self.opened_at = time.monotonic()
        self.ping_at = self.opened_at + server.ping_interval
        self.pinged_at: float | None = None
        self.heard_at = self.opened_at
        self.waiting = Backlog()
        self.behind = False
        self.fetched = 0  # answers to long polls, and writes of the writer: a sign of life
        self.stream: Stream | None = None
        self.direct: Callable[[bytes], int] | None = None
        self._core: WebSocketCore | None = None
        self._compresses = False
        self._lock = server.mode.lock()  # guards what waits, the core, and the way to the client
        self._writer: Any = None
        self._poller: Any = None
        self._space: Any = None

    @property
    def waiting_bytes(self) -> int:
        return self.waiting.size_bytes

    # --- to the client ------------------------------------------------------------------------------------------------

    def send(self, pkt: engineio_packet.Packet) -> None:
        """Called by the libraries for each packet of theirs."""
        text = pkt.encode(b64=True)
        self.hand(Packet(text if isinstance(text, bytes) else text.encode()))

    def hand(self, packet: Packet) -> bool:
        """Send a packet, or let it wait. Does not block; nothing happens if the connection is gone.

        :returns: False when the client is behind now.
        """
        with self._lock:
            if self.closed:
                return True
            if self.stream is None:
                self._keep_packets(packet)
            elif self._compresses and self._core is not None:
                packets = packet.packets if isinstance(packet, Bundle) else (packet,)
                self._write(b"".join([self._core.encode(each.text) for each in packets]))
            else:
                self._write(packet.frame)
            return not self.behind

    def keep_rest(self, rest: bytes) -> None:
        """Let wait what the kernel did not take of a frame that was written to the stream directly."""
        with self._lock:
            self._keep(rest)

    def _keep_packets(self, packet: Packet) -> None:
        for each in packet.packets if isinstance(packet, Bundle) else (packet,):
            if not self._fits():
                return
            self.waiting.put(each)
        self.behind = self.waiting_bytes > _SLACK_BYTES
        if self._poller is not None:
            self._poller.set()

    def _write(self, data: bytes) -> None:
        taken = 0
        if not self.waiting and self.stream is not None and self.stream.send_now is not None:
            try:
                taken = self.stream.send_now(data)
            except BlockingIOError:
                pass
            except OSError:
                return  # it is gone: its reader finds that out
        if taken < len(data):
            self._keep(data[taken:] if taken else data)

    def _keep(self, data: bytes) -> None:
        if self.closed or not self._fits():
            return
        self.waiting.put(data)
        self.behind = True
        if self._writer is None:
            self._writer = self.server.start_background_task(self._write_rest)

    def _fits(self) -> bool:
        """Whether more may wait; whoever leaves too much is cut off."""
        if self.waiting.has_room(self.server.queue_bytes):
            return True
        self._cut(Cut.QUEUE_FULL)
        return False

    def _write_rest(self) -> None:
        """The writer: lives as long as something waits."""
        try:
            while self._write_some():
                pass
        except Exception:
            logger.exception("writing to %s failed", self.sid)
            self.cut_off(Cut.STALLED)

    def _write_some(self) -> bool:
        stream = self.stream
        assert stream is not None
        with self._lock:
            data = self.waiting.first_bytes()
            if not data:
                self._writer, self.behind = None, False
                if self.closed:
                    stream.finish()
        if not data:
            self._make_space()
            if not self.closed:
                self.server.on_drained(self.sid)
            return False
        try:
            if stream.send_now is None:
                stream.send_all(data)
                taken = len(data)
            else:
                taken = stream.send_now(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self._drop()  # it is gone: its reader finds that out
            return True
        with self._lock:
            self.fetched += taken > 0
            self.waiting.forget_first(min(taken, self.waiting_bytes))  # a cut has dropped all
        self._make_space()
        if taken < len(data):
            try:
                stream.wait_writable(60.0)
            except (OSError, ValueError):
                pass  # time is up, which is for others to judge; or gone, which the next write finds out
        return True

    def _drop(self) -> None:
        with self._lock:
            self.waiting.drop()

    def wait_for_space(self) -> None:
        """Wait until at most half of the queue's limit waits, or the connection is gone."""
        while True:
            with self._lock:
                if self.closed or self.waiting_bytes <= self.server.queue_bytes // 2:
                    return
                if self._space is None:
                    self._space = self.server.create_event()
                space = self._space
            space.wait()

    def _make_space(self) -> None:
        if self._space is not None and (self.closed or self.waiting_bytes <= self.server.queue_bytes // 2):
            space, self._space = self._space, None
            space.set()

    # --- from the client: long polling --------------------------------------------------------------------------------

    def poll(self) -> list[Packet]:
        """Wait for packets, for an answer to a long poll.

        :raises Malformed: when another one is waiting already.
        """
        with self._lock:
            if self._poller is not None:
                raise Malformed("two polls at once")
            if not self.waiting and not self.closed:
                self._poller = self.server.create_event()
        if self._poller is not None:
            self._poller.wait(timeout=self.server.ping_interval + self.server.ping_timeout)
        with self._lock:
            self._poller = None
            if self.upgrading or self.upgraded:
                return [_NOOP]
            packets = self.waiting.fetch()
            self.fetched += 1
            recovered = self.behind and self.waiting_bytes <= _SLACK_BYTES
            self.behind = self.behind and not recovered
        self._make_space()
        if recovered:
            self.server.on_drained(self.sid)
        return packets or [_CLOSE if self.closed else _NOOP]

    def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Take the packets in the body of a POST.

        :raises Malformed: the connection has to be closed.
        """
        try:
            length = int(environ.get("CONTENT_LENGTH") or 0)
            if not 0 < length <= self.server.max_http_buffer_size:
                raise Malformed("a body of this length is not taken")
            packets = environ["wsgi.input"].read(length).decode().split(_SEPARATOR)
            if len(packets) > _BODY_PACKETS:
                raise Malformed("too many packets in one body")
            for each in packets:
                self.take(each)
        except (ValueError, OSError) as error:
            self.refuse(error)
            raise Malformed("a malformed body") from None
        except Malformed as error:
            self.refuse(error)
            raise

    # --- from the client: WebSocket -----------------------------------------------------------------------------------

    def _upgrade_websocket(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Take over the request's TCP connection, until it ends."""
        if self.upgraded or self.upgrading:
            return self.server._bad_request("an upgrade is under way")
        core = WebSocketCore(max_bytes=self.server.max_http_buffer_size, compression=self.server.compression)
        status, content = core.accept(environ)
        if status != SWITCHING_PROTOCOLS:
            return {
                "status": f"{status} {HTTPStatus(status).phrase}",
                "headers": [("Content-Type", "text/plain; charset=utf-8")],
                "response": content,
            }
        self.upgrading = True
        stream = Stream(self.server.mode, environ, self.server.send_buffer_bytes)
        try:
            stream.send_all(content)
            self._converse(core, stream)
        except Malformed as error:
            self.refuse(error)
            self._say_goodbye(core, stream)
        except (OSError, EOFError):
            pass  # gone
        except Exception:
            logger.exception("connection %s failed", self.sid)
        finally:
            self.upgrading = False
            self._lost(stream)
        return tuple(end_without_response(environ))  # a list would be taken for packets

    def _converse(self, core: WebSocketCore, stream: Stream) -> None:
        early = self._probe(core, stream) if self.connected else []
        if early is None:
            return
        with self._lock:
            self.connected = self.upgraded = True
            self.upgrading = False
            self.stream, self._core, self._compresses = stream, core, core.compresses
            if self.server.mode.cooperative and not core.compresses:
                self.direct = stream.send_now
            packets, self.waiting = self.waiting, Backlog()
            self.behind = False
        if packets:
            self.hand(Bundle([each for each in packets if isinstance(each, Packet)]))
        messages = early
        while True:
            for message in messages:
                self.take(message)
                if self.closed:
                    return
            if core.ended:
                return
            if len(messages) > 1:
                self.server.sleep(0)  # whoever sends much at once shall not keep the others waiting
            messages = self._receive(core, stream)

    def _receive(self, core: WebSocketCore, stream: Stream) -> list[str | bytes]:
        data = stream.recv(_RECEIVE_BYTES)
        with self._lock:
            messages = core.feed(data)
            answer = core.to_send()
            if answer and not self.closed:
                self._write(answer)
        return messages

    def _probe(self, core: WebSocketCore, stream: Stream) -> list[str | bytes] | None:
        """The upgrade from long polling: probe, answer, upgrade. What came beyond it; None: it failed.

        The client sends the upgrade when its last poll has been answered, so that nothing is overtaken.
        """
        stream.limit_waiting(_PROBE_S)
        messages: list[str | bytes] = []
        for wanted, answer in ((PING + "probe", PONG + "probe"), (UPGRADE, "")):
            while not messages:
                if core.ended:
                    return None
                messages = core.feed(stream.recv(_RECEIVE_BYTES))
                if data := core.to_send():
                    stream.send_all(data)
            if messages.pop(0) != wanted:
                self.server.delivery.packets_refused += 1
                self._say_goodbye(core, stream)
                return None
            if answer:
                stream.send_all(core.encode(answer.encode()))
                if self._poller is not None:
                    self._poller.set()  # with a NOOP
        stream.limit_waiting(None)
        return messages

    def _say_goodbye(self, core: WebSocketCore, stream: Stream) -> None:
        """The closing frame, where it can be written at once."""
        core.close(1002)
        data = core.to_send()
        try:
            if data and not self.waiting and stream.send_now is not None:
                stream.send_now(data)
        except OSError:
            pass
        stream.shut()

    def _lost(self, stream: Stream) -> None:
        """The TCP connection has ended; the session with it, unless it was only a failed probe."""
        stream.shut()
        if self.stream is not None or not self.connected:
            self._drop()
            self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)
            writer = self._writer
            if writer is not None:
                writer.join()  # it must not touch a descriptor that is somebody else's by then

    # --- packets ------------------------------------------------------------------------------------------------------

    def take(self, message: str | bytes) -> None:
        """Take one Engine.IO packet of the client.

        :raises Malformed: when there is no such packet.
        """
        if self.closed:
            return
        if isinstance(message, bytes):
            raise Malformed("binary packets are not part of the protocol")
        kind = message[:1]
        self.heard_at = time.monotonic()
        if kind == MESSAGE:
            self.server._trigger_event("message", self.sid, message[1:], run_async=False)
        elif kind == PONG:
            self.schedule_ping()
        elif message == CLOSE:
            self._drop()
            self.close(wait=False, abort=True, reason=self.server.reason.CLIENT_DISCONNECT)
        else:
            raise Malformed(f"no packet begins with {kind!r}")

    def refuse(self, error: Exception) -> None:
        """Count a malformed packet, and close the connection."""
        self.server.delivery.packets_refused += 1
        logger.info("connection %s is closed: %s", self.sid, error)
        self.cut_off(Cut.MALFORMED, reset=False)

    # --- life ---------------------------------------------------------------------------------------------------------

    def schedule_ping(self) -> None:
        """The client is alive: ping it again later. The server's watch does that."""
        self.pinged_at, self.ping_at = None, time.monotonic() + self.server.ping_interval

    def ping(self, now: float) -> None:
        """Send a ping, behind whatever waits."""
        self.pinged_at = now
        self.hand(_PING)

    def check_ping_timeout(self) -> bool:
        """The library asks before each packet. The server's watch judges by itself."""
        return not self.closed

    def cut_off(self, why: Cut, *, reset: bool = True) -> None:
        """Close at once, and free what waits here and in the kernel. Does not block."""
        with self._lock:
            self._cut(why, reset=reset)

    def _cut(self, why: Cut, *, reset: bool = True) -> None:
        if self.closed:
            return
        self.server.delivery.cut_off[why] += 1
        self.waiting.drop()
        self.closed, self.direct = True, None  # nothing more is taken
        if self.stream is not None and reset:
            self.stream.reset()
        self.server.start_background_task(self._end, self.server.reason.TRANSPORT_ERROR)

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """End the session. What waits is still written or, without a WebSocket, to be had by long polls, unless
        ``abort``; that takes 5 s at most.
        """
        with self._lock:
            if not self.closed:
                if not abort:
                    self._bid_farewell()
                self.closed, self.direct = True, None
        self._end(reason or self.server.reason.SERVER_DISCONNECT)
        if self.stream is not None:
            if abort:
                self.stream.shut()
            else:
                self.server.expect_end_of(self)
        elif self.waiting and not abort:
            self.server.expect_end_of(self)

    def end_now(self) -> None:
        """A closed one was given its time: end its TCP connection, whatever still waits."""
        self._drop()
        if self.stream is not None:
            self.stream.reset()

    def _bid_farewell(self) -> None:
        """Engine.IO's and the WebSocket's closing, behind whatever waits."""
        if self.stream is None or self._core is None:
            self._keep_packets(_CLOSE)
            return
        self._write(self._core.encode(_CLOSE.text) if self._compresses else _CLOSE.frame)
        self._core.close()
        self._write(self._core.to_send())
        if not self.waiting:
            self.stream.finish()

    def _end(self, reason: str) -> None:
        """Once: tell the namespaces, wake whoever waits, and be forgotten."""
        with self._lock:
            if self.closing:
                return
            self.closing = True
        try:
            self.server._trigger_event("disconnect", self.sid, reason, run_async=False)
        finally:
            self.server.forget(self)
            if self._poller is not None:
                self._poller.set()
            self._make_space()

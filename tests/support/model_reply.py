"""One reply of the scripted model: written into its connection by timers, or as fast as the socket takes it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time
from typing import Any

from tests.support import model_payloads as payloads
from tests.support.model_behaviour import Behaviour
from tests.support.model_record import Record
from tests.support.odd_text import odd_pieces

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 503: "Service Unavailable"}
FLOOD_BATCH = 16  # deltas per write when there is no delay
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER that turns a close into RST


def response(status: int, body: Any, *headers: str) -> bytes:
    """A whole HTTP/1.1 response with a JSON body."""
    text = payloads.dumps(body)
    head = [f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(text)}", "", ""]).encode() + text


class Reply:
    """The answer to one chat completion. Runs on the loop's thread; ``on_end`` is called once, when it is over.

    A stream slips while its reader does not read: it never bursts to make up for a pause.
    """

    def __init__(self, transport: asyncio.Transport, record: Record, behaviour: Behaviour, on_end: Any) -> None:
        self.record = record
        self._transport = transport
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._blocked = False
        self._id = f"chatcmpl-{record.id}"
        self._before, self._after = self._delta_frame()
        self._schema = payloads.schema_of(record.body)
        self._marker = 0
        self._handed_bytes = 0
        self._use(behaviour)

    # --- driven from outside

    def begin(self) -> None:
        """Answer, or set the timer for the first token."""
        b = self._behaviour
        if b.silent:
            return
        if b.status != 200 or b.refusal:
            status = 400 if b.refusal else b.status
            headers = () if b.retry_after_s < 0 else (f"Retry-After: {b.retry_after_s:g}",)
            self._write(response(status, self._error_body(status), *headers))
            self._end(f"error:{status}")
            return
        streams = self.record.streamed and b.stream
        delay_ms = b.structured_delay_ms if self._schema is not None else b.first_token_delay_ms
        if not streams and self._schema is None:
            delay_ms += b.token_delay_ms * self._length
        self._later(delay_ms / 1000, self._first if streams else self._whole)

    def change(self, behaviour: Behaviour) -> None:
        """Go on by another behaviour from here."""
        self._cancel_timer()
        self._use(behaviour)
        if self.record.first_token_s is None:
            self.begin()
        else:
            self._resume()

    def block(self) -> None:
        """The socket takes no more: stop producing."""
        self._blocked = True
        self._cancel_timer()

    def unblock(self) -> None:
        """The socket takes more: go on, without making up for the pause."""
        self._blocked = False
        if self.record.first_token_s is not None and self._timer is None:
            self._resume()

    def client_closed(self) -> None:
        """The client closed the connection before the reply was over."""
        self._end("client_closed")

    @property
    def bytes_accepted(self) -> int:
        """Bytes of this reply that the socket has accepted."""
        return max(0, self._handed_bytes - self._transport.get_write_buffer_size())

    # --- tokens

    def _use(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._words: list[str] | None = None
        if self._schema is not None:
            self._words = re.findall(r"\S+\s*", payloads.structured_text(self._schema, behaviour))
        elif behaviour.text:
            self._words = re.findall(r"\S+\s*", behaviour.text)
        elif behaviour.odd:
            self._words = odd_pieces(f"{behaviour.odd}/{self.record.id}", behaviour.tokens)
        self._calls = payloads.calls_of(self.record.body, behaviour)
        if self._calls:
            self._words = re.findall(r"\S+\s*", behaviour.beside)
        self._length = behaviour.tokens if self._words is None else len(self._words)
        self._delay_s = 0.0 if self._schema is not None else behaviour.token_delay_ms / 1000

    def _stop_at(self) -> int:
        b = self._behaviour
        if self._schema is not None:
            return self._length
        return min([self._length, *(limit for limit in (b.die_after_tokens, b.silent_after_tokens) if limit >= 0)])

    def _delta(self) -> bytes:
        if self._words is not None:
            text = json.dumps(self._words[self.record.tokens_sent])[1:-1]
        elif self._behaviour.markers:
            self._marker = max(self._marker + 1, time.monotonic_ns() // 1000)
            text = f"@{self._marker:013d}#{self.record.tokens_sent} "
        else:
            text = f"word{self.record.tokens_sent + 1} "
        self.record.tokens_sent += 1
        return self._before + text.ljust(self._behaviour.piece_bytes, ".").encode() + self._after

    def _first(self) -> None:
        self._timer = None
        self.record.first_token_s = time.monotonic()
        self._write(STREAM_HEAD)
        self._chunk(self._opening())
        self._resume()

    def _resume(self) -> None:
        self._next_s = self._loop.time()
        self._tick()

    def _tick(self) -> None:
        """Send what is due, then wait for the next token's time."""
        self._timer = None
        stop_at = self._stop_at()
        due = stop_at - self.record.tokens_sent
        if self._delay_s > 0:
            now_s = self._loop.time()
            due = min(due, int((now_s - self._next_s) / self._delay_s + 1e-6) + 1)
            self._next_s += due * self._delay_s
        while due > 0 and not self._blocked:
            batch = min(due, FLOOD_BATCH)
            self._chunk(b"".join([self._delta() for _ in range(batch)]))
            due -= batch
        if self._blocked:
            return
        if self.record.tokens_sent >= stop_at:
            self._reached(stop_at)
        else:
            self._timer = self._loop.call_at(self._next_s, self._tick)

    def _reached(self, stop_at: int) -> None:
        b = self._behaviour
        if stop_at == self._length:
            self._finish_stream()
        elif stop_at == b.die_after_tokens:
            self._die()

    # --- endings

    @property
    def _reason(self) -> str:
        return "tool_calls" if self._calls else self._behaviour.finish_reason

    def _usage(self) -> dict[str, int] | None:
        if not self._behaviour.usage:
            return None
        return payloads.usage_body(self.record.prompt_chars, self.record.tokens_sent)

    def _finish_stream(self) -> None:
        self._chunk(self._closing())
        self._write(b"0\r\n\r\n")
        self._end("done")

    def _whole(self) -> None:
        self._timer = None
        self.record.first_token_s = time.monotonic()
        if self._words is not None:
            text = "".join(self._words)
        else:
            text = "".join(f"word{number + 1} " for number in range(self._length))
        self.record.tokens_sent = self._length
        self._write(response(200, self._whole_body(text)))
        self._end("done")

    def _die(self) -> None:
        death = self._behaviour.death
        if death == "error":
            self._chunk(self._broken())
        if death in ("eof", "error"):
            self._write(b"0\r\n\r\n")
        self._end(f"died:{death}")
        if death == "reset":
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            self._transport.abort()
        elif death == "close":
            self._transport.close()

    def _end(self, how: str) -> None:
        if self.record.ended_s is not None:
            return
        self._cancel_timer()
        self.record.ended_s = time.monotonic()
        self.record.ended = how
        if self._words is not None:
            self.record.text = "".join(self._words[: self.record.tokens_sent])
        self.record.bytes_sent = self.bytes_accepted
        self._on_end()

    # --- the dialect

    def _delta_frame(self) -> tuple[bytes, bytes]:
        """What stands before and after the escaped text of each delta."""
        return payloads.delta_frame(self._id, self.record.model)

    def _error_body(self, status: int) -> dict[str, Any]:
        return payloads.error_body(status, self._behaviour.refusal)

    def _opening(self) -> bytes:
        role = [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
        opening = payloads.sse(payloads.chunk_body(self._id, self.record.model, role))
        for word in re.findall(r"\S+\s*", self._behaviour.thought):
            thought = [{"index": 0, "delta": {"reasoning_content": word}, "finish_reason": None}]
            opening += payloads.sse(payloads.chunk_body(self._id, self.record.model, thought))
        return opening

    def _closing(self) -> bytes:
        model, body = self.record.model, self.record.body
        deltas: list[dict[str, Any]] = [{"tool_calls": [call]} for call in self._calls]
        choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        choices.append({"index": 0, "delta": {}, "finish_reason": self._reason})
        tail = b"".join(payloads.sse(payloads.chunk_body(self._id, model, [choice])) for choice in choices)
        usage = self._usage() if (body.get("stream_options") or {}).get("include_usage") else None
        if usage is not None:
            tail += payloads.sse(payloads.chunk_body(self._id, model, [], usage=usage))
        return tail + b"data: [DONE]\n\n"

    def _whole_body(self, text: str) -> dict[str, Any]:
        model, usage = self.record.model, self._usage()
        return payloads.completion_body(self._id, model, text, self._reason, usage, self._calls)

    def _broken(self) -> bytes:
        """An error within the stream."""
        return payloads.sse(payloads.error_body(500))

    # --- writing

    def _later(self, delay_s: float, callback: Any) -> None:
        self._timer = self._loop.call_later(delay_s, callback) if delay_s > 0 else self._loop.call_soon(callback)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _chunk(self, body: bytes) -> None:
        self._write(b"%x\r\n%b\r\n" % (len(body), body))

    def _write(self, body: bytes) -> None:
        self._handed_bytes += len(body)
        self._transport.write(body)

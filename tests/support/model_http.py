"""The scripted model's HTTP/1.1 side: requests in, replies and statistics out. One ``Connection`` per socket."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support import model_messages as messages
from tests.support import model_payloads as payloads
from tests.support.model_behaviour import BehaviourError, Script, by_rules
from tests.support.model_messages import MessagesReply
from tests.support.model_record import Ledger, bytes_unread, bytes_unsent
from tests.support.model_reply import Reply, response

MAX_REQUEST_BYTES = 32_000_000
WRITE_BUFFER_BYTES = 65_536  # of one connection, in this process; production stops above it


class Model:
    """Everything that the connections of one server share."""

    def __init__(self) -> None:
        self.script = Script()
        self.ledger = Ledger()
        self.connections: set[Connection] = set()

    def stats(self, *, since: int = 0, messages: bool = True, queues: bool = False) -> dict[str, Any]:
        """The body of ``GET /stats``. ``queues`` adds what the kernels hold of open replies (see :func:`bytes_unread`).

        :param since: only requests with a greater id.
        :param messages: with the requests' whole bodies.
        """
        open_replies = {c.reply.record.id: c for c in self.connections if c.reply is not None}
        shown = []
        for record in self.ledger.records:
            if record.id <= since:
                continue
            connection = open_replies.get(record.id)
            if connection is not None and connection.reply is not None:
                record.bytes_sent = connection.reply.bytes_accepted
            entry = record.to_json(messages=messages)
            if queues and connection is not None:
                unsent, unread = bytes_unsent(connection.transport), bytes_unread(connection.transport)
                taken = max(0, record.bytes_sent - unsent - unread)
                entry |= {"bytes_unsent": unsent, "bytes_unread": unread, "bytes_taken": taken}
            shown.append(entry)
        return {
            "monotonic_s": time.monotonic(),
            "cpu_s": time.process_time(),
            "open": len(open_replies),
            "connections": len(self.connections),
            "total": self.ledger.total,
            "model_list_requests": self.ledger.model_list_requests,
            "requests": shown,
        }

    def control(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body of ``POST /control``: behaviour options beside ``model``, ``reset`` and ``open``.

        ``open: true`` lets open replies go on by the new behaviour, too.
        """
        options = {name: value for name, value in body.items() if name not in ("model", "reset", "open")}
        self.script.control(options, model=body.get("model"), reset=bool(body.get("reset")))
        if body.get("open"):
            for connection in list(self.connections):
                if connection.reply is not None:
                    connection.reply.change(self.script.behaviour_of(connection.reply.record.model))
        return {"ok": True}


class Connection(asyncio.Protocol):
    """One client's connection. Always reads, so that the client's close is noticed at once."""

    transport: asyncio.Transport

    def __init__(self, model: Model) -> None:
        self._model = model
        self._buffer = bytearray()
        self.reply: Reply | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._model.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._model.connections.discard(self)
        if self.reply is not None:
            self.reply.client_closed()

    def eof_received(self) -> bool:
        if self.reply is not None:
            self.reply.client_closed()
            self.transport.abort()
        return False

    def pause_writing(self) -> None:
        if self.reply is not None:
            self.reply.block()

    def resume_writing(self) -> None:
        if self.reply is not None:
            self.reply.unblock()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > MAX_REQUEST_BYTES:
            self.transport.abort()
            return
        self._serve_buffered()

    def _serve_buffered(self) -> None:
        """Serve the next whole request, unless a reply is still being written."""
        while self.reply is None and not self.transport.is_closing():
            head_end = self._buffer.find(b"\r\n\r\n")
            if head_end < 0:
                return
            lines = self._buffer[:head_end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            if "chunked" in headers.get("transfer-encoding", ""):
                self._refuse(501, "send a Content-Length")
                return
            body_end = head_end + 4 + int(headers.get("content-length") or 0)
            if len(self._buffer) < body_end:
                return
            body = bytes(self._buffer[head_end + 4 : body_end])
            del self._buffer[:body_end]
            method, target, _ = lines[0].split(" ", 2)
            self._serve(method, target, headers, body)

    def _serve(self, method: str, target: str, head: dict[str, str], body: bytes) -> None:
        url = urlsplit(target)
        try:
            if method == "POST" and url.path.endswith("/chat/completions"):
                self._complete(url.path, json.loads(body))
            elif method == "POST" and url.path.endswith("/v1/messages"):
                self._message(head, json.loads(body))
            elif method == "GET" and url.path.endswith("/models"):
                self._list_models()
            elif method == "POST" and url.path == "/control":
                self.transport.write(response(200, self._model.control(json.loads(body))))
            elif method == "GET" and url.path == "/stats":
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                shown = self._model.stats(
                    since=int(query.get("since", 0)),
                    messages=query.get("messages", "1") == "1",
                    queues=query.get("queues", "0") == "1",
                )
                self.transport.write(response(200, shown))
            else:
                self.transport.write(response(404, {"error": {"message": f"nothing at {url.path}"}}))
        except (BehaviourError, ValueError, TypeError) as error:
            self._refuse(400, str(error))

    def _refuse(self, status: int, message: str) -> None:
        self.transport.write(response(status, {"error": {"message": message, "code": "bad_request"}}))
        self.transport.close()

    def _list_models(self) -> None:
        self._model.ledger.model_list_requests += 1
        behaviour = self._model.script.behaviour_of("")
        if behaviour.models_silent:
            return
        status = behaviour.models_status
        self.transport.write(response(status, payloads.models_body() if status == 200 else payloads.error_body(status)))

    def _complete(self, path: str, body: dict[str, Any]) -> None:
        if not isinstance(body, dict):
            raise ValueError("the body is no object")
        if "/deployments/" in path:  # Azure names the model in the path
            body.setdefault("model", unquote(path.split("/deployments/")[1].split("/")[0]))
        self._answer(body, Reply)

    def _message(self, head: dict[str, str], body: dict[str, Any]) -> None:
        wrong = messages.problem(head, body)
        if wrong is not None:
            self.transport.write(response(wrong[0], messages.error_body(*wrong)))
        else:
            self._answer(body, MessagesReply)

    def _answer(self, body: dict[str, Any], kind: type[Reply]) -> None:
        asked = payloads.text_of_messages({"messages": (body.get("messages") or [])[-1:]})
        behaviour = self._model.script.next_behaviour(str(body.get("model", "")))
        behaviour = by_rules(behaviour, asked, payloads.text_of_messages(body))
        record = self._model.ledger.open_record(
            body,
            started_s=time.monotonic(),
            prompt_chars=len(payloads.text_of_messages(body)),
            structured=payloads.schema_of(body) is not None,
        )
        self.reply = kind(self.transport, record, behaviour, self._reply_over)
        self.reply.begin()

    def _reply_over(self) -> None:
        self.reply = None
        asyncio.get_running_loop().call_soon(self._serve_buffered)

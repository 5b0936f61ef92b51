"""The comparison: what one writes with Flask-SocketIO in an afternoon. It emits every token as it comes.

It speaks the part of Colloquy's protocol that the measurements need, so that one client measures both: start, join,
stop and ping, with a delta per token. A background task per conversation reads the model's SSE with the standard
library's HTTP client and calls ``socketio.emit(…, to=room)``. No AutoGen, no agents, no log, no snapshot, no pacing, no
pause; a stop is a flag that the task looks at with each token.

    OPENAI_BASE_URL=… OPENAI_MODEL=… python -m benchmarks.plain_app      # prints its address
"""

# ruff: noqa: E402 - eventlet must patch before the imports
# mypy: disallow-untyped-decorators=False
from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import argparse
import http.client
import json
import os
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

import eventlet.wsgi
from flask import Flask, request
from flask_socketio import SocketIO, join_room

from app.protocol import NAMESPACE, room_of
from app.protocol.commands import Join, Ping, StartStream, StopStream
from app.protocol.events import ConversationComplete, MessageDelta
from benchmarks.lateness import LatenessProbe

app = Flask(__name__)
socketio = SocketIO(app, async_mode="eventlet", cors_allowed_origins=[])
probe = LatenessProbe()
stopped: set[str] = set()


@app.get("/api/websocket/status")
def status() -> dict[str, Any]:
    """The event loop's lateness in the last ``lateness_s`` seconds, in milliseconds."""
    return {"loop_lateness_ms": probe.figures(float(request.args.get("lateness_s", 60)))}


@socketio.on(StartStream.name, namespace=NAMESPACE)
def start(payload: dict[str, Any]) -> dict[str, Any]:
    """Join the caller, then stream in the background."""
    conversation_id = uuid.uuid4().hex
    join_room(room_of(conversation_id))
    socketio.start_background_task(stream, conversation_id, payload["content"])
    return {"ok": True, "conversation_id": conversation_id}


@socketio.on(Join.name, namespace=NAMESPACE)
def join(payload: dict[str, Any]) -> dict[str, Any]:
    """Enter the room."""
    join_room(room_of(payload["conversation_id"]))
    return {"ok": True, "conversation_id": payload["conversation_id"]}


@socketio.on(StopStream.name, namespace=NAMESPACE)
def stop(payload: dict[str, Any]) -> dict[str, Any]:
    """Raise the flag."""
    stopped.add(payload["conversation_id"])
    return {"ok": True}


@socketio.on(Ping.name, namespace=NAMESPACE)
def ping(payload: dict[str, Any]) -> dict[str, Any]:
    """Answer at once."""
    return {"ok": True, "timestamp": str(time.time()), "echo": payload.get("echo")}


def stream(conversation_id: str, content: str) -> None:
    """Read the model's reply line by line and emit each delta."""
    room = room_of(conversation_id)
    address = urlsplit(os.environ["OPENAI_BASE_URL"])
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80)
    body = {
        "model": os.environ["OPENAI_MODEL"],
        "messages": [{"role": "user", "content": content}],
        "stream": True,
    }
    connection.request("POST", f"{address.path}/chat/completions", json.dumps(body))
    for line in connection.getresponse():
        if conversation_id in stopped or line.startswith(b"data: [DONE]"):
            break
        if line.startswith(b"data: "):
            delta = json.loads(line[6:])["choices"][0]["delta"].get("content")
            if delta:
                event = {"conversation_id": conversation_id, "delta": delta}
                socketio.emit(MessageDelta.name, event, to=room, namespace=NAMESPACE)
    connection.close()
    socketio.emit(ConversationComplete.name, {"conversation_id": conversation_id}, to=room, namespace=NAMESPACE)


def main() -> None:
    """Serve on a free port of loopback."""
    parser = argparse.ArgumentParser(description="The plain Flask-SocketIO app that the benchmarks compare with.")
    parser.add_argument("--port", type=int, default=0)
    listener = eventlet.listen(("127.0.0.1", parser.parse_args().port), backlog=1024)
    eventlet.spawn(probe.run)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    eventlet.wsgi.server(listener, app, log_output=False, max_size=5_000)


if __name__ == "__main__":
    main()

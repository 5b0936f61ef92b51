"""What the scripted model remembers of each request, and how much of a reply its client has really taken."""

from __future__ import annotations

import fcntl
import socket
import struct
from asyncio import Transport
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIOCOUTQNSD = 0x894B  # Linux: bytes in a TCP send queue that were not sent yet
PROC_TCP = Path("/proc/net/tcp")
KEPT_RECORDS = 2_000  # the oldest are forgotten beyond this


@dataclass(slots=True)
class Record:
    """One request to the model. Times are CLOCK_MONOTONIC in seconds, lengths in bytes or characters as named."""

    id: int
    model: str
    started_s: float
    prompt_chars: int
    streamed: bool
    structured: bool
    body: dict[str, Any] = field(default_factory=dict)
    text: str = ""  # what was said of a reply whose words are known before; when it has ended
    tokens_sent: int = 0
    bytes_sent: int = 0  # accepted by the socket of the model's side
    first_token_s: float | None = None
    ended_s: float | None = None
    ended: str = "open"  # then: done · client_closed · error:<status> · died:<how>

    def to_json(self, *, messages: bool) -> dict[str, Any]:
        """The record for ``GET /stats``; ``messages`` adds the whole request body."""
        shown = {name: getattr(self, name) for name in self.__slots__ if name not in ("body", "text")}
        if messages:
            shown["text"] = self.text
            shown["body"] = self.body
            shown["messages"] = self.body.get("messages", [])
        return shown


class Ledger:
    """All requests, the newest 2,000 kept, and counters."""

    def __init__(self) -> None:
        self.records: deque[Record] = deque(maxlen=KEPT_RECORDS)
        self.total = 0
        self.model_list_requests = 0

    def open_record(self, body: dict[str, Any], started_s: float, prompt_chars: int, structured: bool) -> Record:
        """Note a new request. Its id counts from 1."""
        self.total += 1
        record = Record(
            id=self.total,
            model=str(body.get("model", "")),
            started_s=started_s,
            prompt_chars=prompt_chars,
            streamed=bool(body.get("stream")),
            structured=structured,
            body=body,
        )
        self.records.append(record)
        return record


def bytes_unsent(transport: Transport) -> int:
    """Bytes of our send queue that have not left for the client (0 where the system does not tell)."""
    sock = transport.get_extra_info("socket")
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), SIOCOUTQNSD, b"\0" * 4))[0])
    except OSError:
        return 0


def bytes_unread(transport: Transport) -> int:
    """Bytes that wait in the client's receive queue, unread by its program. Loopback IPv4 on Linux only, else 0.

    What a client's *program* has taken is ``bytes_sent - bytes_unsent - bytes_unread``: kernels hold the rest.
    """
    sock = transport.get_extra_info("socket")
    if sock.family != socket.AF_INET or not PROC_TCP.exists():
        return 0
    theirs, ours = transport.get_extra_info("peername")[1], transport.get_extra_info("sockname")[1]
    for line in PROC_TCP.read_text(encoding="ascii").splitlines()[1:]:
        columns = line.split()
        if int(columns[1][-4:], 16) == theirs and int(columns[2][-4:], 16) == ours:
            return int(columns[4].partition(":")[2], 16)
    return 0

"""What waits for one client: bytes for its WebSocket, or packets that long polling has to fetch."""

from __future__ import annotations

from collections import deque

from app.namespaces.frames import Packet

WRITE_BYTES = 65_536
POLL_BYTES = 65_536  # of one answer to a long poll; it fits into the kernel's buffers
POLL_PACKETS = 16  # python-engineio's clients refuse more in one answer


class Backlog(deque[Packet | bytes]):
    """Oldest first. Not safe to use from several threads: its connection's lock guards it.

    A deque, so that to ask whether anything waits costs a room's emit nothing.

    :ivar size_bytes: of all together.
    """

    def __init__(self) -> None:
        super().__init__()
        self.size_bytes = 0

    def put(self, item: Packet | bytes) -> None:
        """Let it wait behind the others."""
        self.append(item)
        self.size_bytes += _size(item)

    def drop(self) -> None:
        """Nothing waits any more."""
        self.clear()
        self.size_bytes = 0

    def has_room(self, limit_bytes: int) -> bool:
        """One item of any size may wait, and others behind it: else an ack behind a long message would be too much."""
        return self.size_bytes <= limit_bytes or self.size_bytes - max(map(_size, self)) <= limit_bytes

    def first_bytes(self) -> bytes:
        """What is worth writing next, in one piece."""
        if not self:
            return b""
        parts, size = [], 0
        for part in self:
            assert isinstance(part, bytes)
            parts.append(part)
            size += len(part)
            if size >= WRITE_BYTES:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def forget_first(self, taken: int) -> None:
        """So many bytes were written."""
        self.size_bytes -= taken
        while taken:
            part = self.popleft()
            assert isinstance(part, bytes)
            if len(part) > taken:
                self.appendleft(part[taken:])
                return
            taken -= len(part)

    def fetch(self) -> list[Packet]:
        """What one answer to a long poll takes."""
        packets: list[Packet] = []
        size = 0
        while self and len(packets) < POLL_PACKETS and size < POLL_BYTES:
            packet = self.popleft()
            assert isinstance(packet, Packet)
            packets.append(packet)
            size += len(packet.text)
        self.size_bytes -= size
        return packets


def _size(item: Packet | bytes) -> int:
    return len(item.text) if isinstance(item, Packet) else len(item)

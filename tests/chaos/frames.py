"""Hostile input, made from a seed: Engine.IO and Socket.IO packets nearly right, WebSocket frames, HTTP requests.

A grammar makes packets that are mostly well formed but mean the unexpected; :func:`mutated` damages them.
"""

from __future__ import annotations

import json
import random
import struct
from typing import Any

from app.protocol import NAMESPACE
from app.protocol.commands import COMMANDS_BY_NAME

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0
_ODD = ["\x1e", "\0", "²", "٣", "\ufeff", "\U0001f600", "-", ",", "/", "?", "[", '"', "\\", "b", "d=", "\n", "\x7f"]
_NAMES = [
    *COMMANDS_BY_NAME,
    "connect",
    "disconnect",
    "message",
    "__disconnect_final",
    "constructor",
    "__proto__",
    "",
    "*",
]
_DEEP = 3_000


def packet(rng: random.Random) -> str:
    """An Engine.IO packet of any type, mostly a message."""
    kind = rng.choices("4012356789²٣b", weights=[30, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1])[0]
    if kind == "4":
        return "4" + message(rng)
    if kind == "b":
        return "b" + rng.choice(["", "AAAA", "!!!!", "A", "====", message(rng)])
    return kind + rng.choice(["", "probe", message(rng), value_text(rng), "{}", "null"])


def message(rng: random.Random) -> str:
    """A Socket.IO packet."""
    kind = rng.choices("2013456789", weights=[30, 3, 1, 3, 2, 4, 2, 1, 1, 1])[0]
    attachments = rng.choice(["", "", "", "", "0-", "1-", "2-", "9999999999-", "99999999999-", "-", "-1-", "١-"])
    if kind not in "56" and rng.random() < 0.8:
        attachments = ""
    namespaces = [f"{NAMESPACE},"] * 12 + [
        "",
        "/,",
        "/other,",
        NAMESPACE,
        f"{NAMESPACE}?a=b,",
        "/" + "n" * 300 + ",",
        "//,",
    ]
    number = rng.choice(["", "", "1", "7", "0", "-1", "00", "9" * 20, "9" * 101, "²", "1.5", "٣"])
    return kind + attachments + rng.choice(namespaces) + number + body(rng)


def body(rng: random.Random) -> str:
    """What stands behind a packet's head: an event's list, mostly."""
    shape = rng.random()
    if shape < 0.7:
        return json.dumps([rng.choice(_NAMES), *(payload(rng) for _ in range(rng.choice((1, 1, 1, 1, 0, 2))))])
    if shape < 0.85:
        return value_text(rng)
    return json.dumps(rng.choice([[], [7], [None], [[]], {}, {"_placeholder": True, "num": 0}, "x", 0, None, True]))


def payload(rng: random.Random) -> Any:
    """A command's payload: some right fields, some wrong ones."""
    if rng.random() < 0.2:
        return value(rng)
    names = ["conversation_id", "position", "since", "filter", "acks", "batch", "batch_ms", "changes_only", "offset"]
    names += ["echo", "content_type", "options", "client_id", "team", "__class__", "sid", "room"]
    return {name: value(rng) for name in rng.sample(names, rng.randint(0, 5))}


def value(rng: random.Random, depth: int = 2) -> Any:
    """Any JSON value, with a liking for the awkward."""
    choice = rng.randrange(12 if depth else 9)
    plain: list[Any] = [None, True, rng.choice([0, -1, 2**31, 2**63, 2**70, 10**400]), rng.choice([0.1, -0.0, 1e308])]
    plain += ["", "x" * rng.choice((1, 70, 5_000)), "\ud800", rng.choice(_ODD), "2026-01-01T00:00:00Z"]
    if choice < 9:
        return plain[choice]
    if choice == 9:
        return [value(rng, depth - 1) for _ in range(rng.choice((0, 1, 3, 60)))]
    if choice == 10:
        return {"_placeholder": True, "num": rng.choice((0, -1, 10**9, "x", None))}
    keys = ["epoch", "offset", "types", "roles", "agents", "tokens_per_s", "max_turns", "", "\u0000", "__proto__"]
    return {key: value(rng, depth - 1) for key in rng.sample(keys, rng.randint(0, 3))}


def value_text(rng: random.Random) -> str:
    """JSON, or what only looks like it."""
    return rng.choice(
        [
            "[" * _DEEP,
            "[" * _DEEP + "]" * _DEEP,
            '{"a":' * _DEEP,
            '["ping",' + "[" * _DEEP + "]" * _DEEP + "]",
            '["ping",{"echo":' + "9" * 5_000 + "}]",
            '["ping",{"echo":1e999}]',
            '["ping",{"echo":NaN}]',
            '["ping",{"echo":-Infinity}]',
            '["ping",{"echo":1,"echo":2}]',
            '["ping",{"echo":"\\ud800"}]',
            '["ping",{"echo":"\\u0000"}]',
            '["ping"',
            '["ping",{}]trailing',
            "nonsense",
            '"',
            "\\",
        ]
    )


def mutated(rng: random.Random, text: str) -> bytes:
    """Bytes of the text, damaged or not."""
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(rng.choice((0, 0, 0, 0, 0, 0, 1, 1, 2, 5))):
        at = rng.randint(0, len(content))
        match rng.randrange(6):
            case 0 if content:
                content[at % len(content)] ^= 1 << rng.randrange(8)
            case 1:
                del content[at:]
            case 2:
                content[at:at] = rng.choice(_ODD).encode()
            case 3:
                content[at:at] = rng.randbytes(rng.randint(1, 8))
            case 4:
                content += content[:at]
            case 5:
                del content[at : at + rng.randint(1, 5)]
    return bytes(content)


def hostile_text(rng: random.Random) -> bytes:
    """The content of one text frame."""
    shape = rng.random()
    if shape < 0.04:
        return rng.randbytes(rng.choice((0, 1, 2, 10, 100)))
    if shape < 0.05:
        return b"4" * rng.choice((70_000, 300_000))
    return mutated(rng, packet(rng))


# --- WebSocket --------------------------------------------------------------------------------------------------------


def frame(
    content: bytes,
    opcode: int = TEXT,
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """A client's WebSocket frame, right or wrong.

    :param length: what the head says, where it lies.
    """
    said = len(content) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    mask_bit = 0x80 if masked else 0
    if said < 126:
        head += bytes([mask_bit | said])
    elif said < 65_536:
        head += bytes([mask_bit | 126]) + struct.pack("!H", said)
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", said)
    if not masked:
        return head + content
    mask = b"\x37\xfa\x21\x3d"
    repeated = mask * (len(content) // 4 + 1)
    covered = int.from_bytes(content, "big") ^ int.from_bytes(repeated[: len(content)], "big")
    return head + mask + covered.to_bytes(len(content), "big")


def hostile_frame(rng: random.Random) -> bytes:
    """A WebSocket frame, or several, that break RFC 6455; or bytes that are no frame at all."""
    text = hostile_text(rng)[:1_000]
    good = f'42{NAMESPACE},1["ping",{{}}]'.encode()
    made = [
        frame(text, rng.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))),
        frame(text, masked=False),
        frame(text, rsv=rng.randint(1, 7)),
        frame(text, BINARY),
        frame(rng.randbytes(rng.choice((0, 3, 200))), BINARY),
        frame(text, CONTINUATION),
        frame(good[:5], fin=False) + frame(good[5:], CONTINUATION),
        frame(good[:5], fin=False) + frame(good[5:], TEXT),
        frame(good[:5], fin=False) + frame(b"", PING) + frame(good[5:], CONTINUATION),
        b"".join(frame(b"4", TEXT if not at else CONTINUATION, fin=False) for at in range(rng.choice((2, 50)))),
        frame(b"x" * 126, PING),
        frame(b"x", PING, fin=False),
        frame(rng.randbytes(rng.randint(0, 125)), rng.choice((PING, PONG))),
        frame(b"", PING) * 30,
        frame(b"", CLOSE) + frame(good),
        frame(b"\x03", CLOSE),
        frame(struct.pack("!H", rng.choice((0, 999, 1005, 1006, 1015, 2999, 5000, 65535))), CLOSE),
        frame(b"\x03\xe8\xff\xfe", CLOSE),
        frame(b"\xff\xfe\xc3\x28\xed\xa0\x80", TEXT),
        frame(b"42\xc3", fin=False) + frame(b"\xa9", CONTINUATION),
        frame(text, length=len(text) + rng.randint(1, 50)),
        frame(text, length=rng.choice((2**20, 2**31, 2**62, 2**63, 2**64 - 1))),
        frame(b"", length=2**16),
        frame(text)[: rng.randint(1, 6)],
        rng.randbytes(rng.choice((1, 2, 14, 300))),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    return rng.choice(made)


# --- HTTP -------------------------------------------------------------------------------------------------------------


def request(method: str, target: str, headers: dict[str, str], content: bytes = b"") -> bytes:
    """An HTTP request."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {said}" for name, said in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + content


def hostile_payload(rng: random.Random) -> bytes:
    """The body of a polling POST."""
    packets = [hostile_text(rng)[:2_000] for _ in range(rng.choice((1, 1, 2, 3, 16, 17, 200)))]
    content = b"\x1e".join(packets)
    return rng.choice([content, content, content, b"d=" + content, b"\x1e" * 20, b"", content[: rng.randint(0, 40)]])


def hostile_request(rng: random.Random, port: int) -> bytes:
    """An HTTP request to the Socket.IO path that should not be."""
    host = {"Host": f"127.0.0.1:{port}"}
    upgrade = {
        "Upgrade": rng.choice(("websocket", "WebSocket", "h2c", "", "websocket, x")),
        "Connection": rng.choice(("Upgrade", "keep-alive, Upgrade", "close", "")),
        "Sec-WebSocket-Version": rng.choice(("13", "13", "8", "x", "", "99999999999")),
        "Sec-WebSocket-Key": rng.choice(("dGhlIHNhbXBsZSBub25jZQ==", "", "x", "é" * 30, "A" * 5_000)),
        "Sec-WebSocket-Extensions": rng.choice(
            ("permessage-deflate", "permessage-deflate; client_max_window_bits=99", ";;")
        ),
    }
    for name in rng.sample(sorted(upgrade), rng.choice((0, 0, 1, 2))):
        del upgrade[name]
    query = "&".join(
        [
            rng.choice(("EIO=4", "EIO=4", "EIO=3", "EIO=x", "EIO=", "EIO=4&EIO=3", "")),
            rng.choice(("transport=websocket", "transport=polling", "transport=", "transport=webtransport", "")),
            rng.choice(("", "", "sid=x", "sid=", "sid=%00", "sid=" + "a" * 500, "j=0", "j=x", "j=", "t=%ff", "b64=1")),
        ]
    )
    method = rng.choice(("GET", "GET", "GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "X"))
    target = rng.choice(("/socket.io/", "/socket.io/", "/socket.io", "/socket.io/x", "//socket.io/")) + "?" + query
    headers = host | (upgrade if rng.random() < 0.7 else {})
    content = b""
    if method not in ("GET", "HEAD", "OPTIONS"):
        content = hostile_payload(rng)[:5_000]
        length = rng.choice((str(len(content)), str(len(content)), "", "-1", "x", "99999999999", str(len(content) + 5)))
        headers |= {"Content-Length": length}
    made = request(method, target, headers, content)
    return rng.choice((made, made, made, made[: rng.randint(1, len(made))], made.replace(b"\r\n", b"\n", 1)))

"""``python -m benchmarks.tokens [--count N] [--per-s N]``: what a flood of bad tokens costs everybody else.

Four loads of the same size and pace on one server, one after the other, each from a process of its own over four
connections that stay open: good tokens (what the requests themselves cost), bad ones of one address (counted, and soon
not looked at), and bad ones from ever new addresses (each looked at: the worst case). Meanwhile somebody with a good
token asks every 10 ms, and the server says how late its event loop was. "Idle" is the same without any load.

Exits with 1 when a bad token was admitted, or anything but a refusal was answered.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import multiprocessing
import random
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.targets import cores
from tests.support.server import ColloquyServer
from tests.support.tokens import SECRET, bearer, token

CONNECTIONS = 4
PROBE_EVERY_S = 0.01
IDLE_S = 4.0
PATH = "/api/me"


def bad_tokens(good: str) -> Iterator[str]:
    """Random, malformed and forged ones, for ever."""
    head, body, signature = good.split(".")

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    def none() -> str:
        return f"{part({'alg': 'none'})}.{body}."

    def changed() -> str:
        return f"{head}.{part({'sub': secrets.token_hex(8), 'exp': time.time() + 60})}.{signature}"

    kinds: tuple[Callable[[], str], ...] = (
        lambda: secrets.token_urlsafe(random.randint(1, 200)),  # the length is no secret
        lambda: "cq_" + secrets.token_hex(21),
        lambda: f"{head}.{body}.{secrets.token_urlsafe(32)}",
        none,
        changed,
        lambda: f"{part({'alg': 'RS256', 'kid': secrets.token_hex(8)})}.{body}.{signature}",
        lambda: f"{part({'alg': ['HS256'], 'kid': {}})}.{body}.{signature}",
        lambda: "..",
        lambda: "[" * 2000 + "." + "{" * 2000 + ".",
        lambda: "a" * 6000,
    )
    while True:
        yield random.choice(kinds)()  # which kind is no secret


def flood(port: int, load: str, count: int, per_s: float, answers: Any) -> None:
    """Send so many, at this pace; put what was answered, by status. A process of its own."""
    good = token(who="flooding")
    seen: Counter[int] = Counter()
    began = time.monotonic()

    def send(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        bad = bad_tokens(good)
        for number in range(first, count, CONNECTIONS):
            time.sleep(max(0.0, began + number / per_s - time.monotonic()))
            address = f"198.18.{number // 250 % 250}.{number % 250}" if load == "each looked at" else "198.51.100.1"
            given = good if load == "good" else next(bad)
            try:
                connection.request("GET", PATH, headers={**bearer(given), "X-Forwarded-For": address})
                answer = connection.getresponse()
                answer.read()
                seen[answer.status] += 1
            except (OSError, http.client.HTTPException):
                seen[0] += 1
                connection.close()
        connection.close()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.put((dict(seen), time.monotonic() - began))


def probe(port: int, until: Callable[[], bool]) -> list[float]:
    """How long somebody with a good token waits, in ms, again and again."""
    found = []
    headers = {**bearer(token(who="somebody")), "X-Forwarded-For": "203.0.113.7"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not until():
        began = time.monotonic()
        connection.request("GET", PATH, headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"somebody with a good token was answered {answer.status}")
        found.append((time.monotonic() - began) * 1000)
        time.sleep(PROBE_EVERY_S)
    connection.close()
    return sorted(found)


def main() -> int:
    """Print the table; 1 where a bad token was not refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--per-s", type=float, default=400.0)
    arguments = parser.parse_args()
    env = {"JWT_SECRET": SECRET, "TRUSTED_PROXIES": "1", "ADMIN_USERS": "operator", "MAX_REQUESTS_PER_MINUTE": "0"}
    failed = False
    print(
        f"{'load':16} {'answers':30} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'loop p99 ms':>12}"
    )
    with ColloquyServer(env=env) as server:
        for load in ("idle", "good", "bad", "each looked at"):
            queue: Any = multiprocessing.Queue()
            answers, took_s = {}, IDLE_S
            began = time.monotonic()
            if load == "idle":
                waits = probe(server.port, lambda: time.monotonic() - began > IDLE_S)  # noqa: B023  # called in this round
            else:
                other = multiprocessing.Process(
                    target=flood, args=(server.port, load, arguments.count, arguments.per_s, queue)
                )
                other.start()
                waits = probe(server.port, lambda: not queue.empty())  # noqa: B023  # called in this round
                answers, took_s = queue.get()
                other.join()
            late = _lateness(server, took_s)
            said = " ".join(f"{status}:{number}" for status, number in sorted(answers.items()))
            p50, p99 = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
            pace = sum(answers.values()) / took_s
            print(f"{load:16} {said:24} {pace:10.0f} {p50:8.2f} {p99:8.2f} {waits[-1]:8.2f} {late:9.2f}", flush=True)
            failed |= load not in ("idle", "good") and not set(answers) <= {401, 429}
        failed |= "Traceback" in server.output()
    print(f"{cores()} cores; {'FAILED' if failed else 'none admitted, none broke anything'}")
    return int(failed)


def _lateness(server: ColloquyServer, over_s: float) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {**bearer(token(who="operator")), "X-Forwarded-For": "203.0.113.8"}
    connection.request("GET", f"/api/websocket/status?lateness_s={min(60.0, over_s):.1f}", headers=headers)
    found = json.loads(connection.getresponse().read())["loop_lateness_ms"]["p99"]
    connection.close()
    return float(found)


if __name__ == "__main__":
    sys.exit(main())

"""How often somebody may try, in a minute."""

from __future__ import annotations

import ipaddress
import re
import time

from limits import RateLimitItemPerMinute
from limits.strategies import MovingWindowRateLimiter

from app.auth.windows import Windows
from app.errors import LimitExceeded

_WITH_PORT = re.compile(r"\[([^\[\]]+)\](?::\d+)?|([^:]+):\d+")


class Attempts:
    """Counts attempts by whatever they come from, in a moving window of a minute.

    :param per_minute: how many are let through.
    :param sentence: what is said to who makes more.
    """

    def __init__(self, per_minute: int, sentence: str) -> None:
        self._limit = RateLimitItemPerMinute(per_minute)
        self._sentence = sentence
        self._window = MovingWindowRateLimiter(Windows())

    def check(self, *sources: str) -> None:
        """:raises LimitExceeded: when one of these has no attempt left."""
        for source in sources:
            if not self._window.test(self._limit, source):
                reset_at, _ = self._window.get_window_stats(self._limit, source)
                raise LimitExceeded(self._sentence, retry_after_s=max(0.1, reset_at - time.time()))

    def take(self, *sources: str) -> None:
        """Note an attempt. :raises LimitExceeded: when one of these has none left; then none is noted."""
        self.check(*sources)
        for source in sources:
            if not self._window.hit(self._limit, source):  # others took the last one in between
                self.check(source)

    def count(self, *sources: str) -> None:
        """Note an attempt."""
        for source in sources:
            self._window.hit(self._limit, source)


def source_of(address: str) -> str:
    """What one visitor is counted by: an IPv4 address; of an IPv6 address the network, which is one household's.

    Some proxies (Azure's, IIS) tell a port with it: each connection would be a visitor of its own.
    """
    if (with_port := _WITH_PORT.fullmatch(address)) is not None:
        address = with_port[1] or with_port[2]
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return address[:64]
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))

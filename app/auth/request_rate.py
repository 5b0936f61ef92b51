"""How many HTTP requests one person, or one address, may make in a minute."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from typing import Any

from limits import RateLimitItemPerMinute
from limits.strategies import MovingWindowRateLimiter

from app.auth.attempts import source_of
from app.auth.identity import Principal
from app.auth.in_force import LimitsInForce
from app.auth.windows import Windows
from app.errors import LimitExceeded

_AT_LEAST_S = 0.5
_PROXY_FIX = "werkzeug.proxy_fix.orig"  # it has taken the address from a header of a proxy that is trusted


def source_in(environ: Mapping[str, Any]) -> str | None:
    """What a request is counted by: see :func:`source_of`; None for who comes straight from this machine."""
    address = str(environ.get("REMOTE_ADDR", ""))
    by_proxy = _PROXY_FIX in environ and "HTTP_X_FORWARDED_FOR" in environ
    return None if _is_near(address) and not by_proxy else source_of(address)


def _is_near(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


class RequestRate:
    """Counts requests in a moving window of a minute."""

    def __init__(self, limits: LimitsInForce) -> None:
        self._limits = limits
        self._window = MovingWindowRateLimiter(Windows())

    def count_address(self, environ: Mapping[str, Any]) -> None:
        """:raises LimitExceeded: when too many came from there. The guest's own machine is excepted."""
        source = source_in(environ)
        if source is not None:
            self._count("address", source)

    def count_person(self, principal: Principal) -> None:
        """:raises LimitExceeded: when too many were theirs. The guest, and holders of mere links, are not counted."""
        if principal.id and principal.kind != "guest":
            self._count("person", f"{principal.person}")

    def _count(self, *who: str) -> None:
        most = self._limits.value("max_requests_per_minute")
        if not most:
            return
        limit = RateLimitItemPerMinute(most)
        if not self._window.hit(limit, *who):
            reset_at, _ = self._window.get_window_stats(limit, *who)
            raise LimitExceeded(
                f"more than {most} requests in a minute; try again later",
                retry_after_s=max(_AT_LEAST_S, reset_at - time.time()),
            )

"""The limits that may change while the server runs: everybody reads them here, each time anew."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from app.settings import Settings

LIMITS: Mapping[str, int] = MappingProxyType(
    {
        "max_running_sessions": 1,
        "max_running_per_user": 0,
        "max_tokens_per_day": 0,
        "max_tokens_per_conversation": 0,
        "max_connections_per_user": 0,
        "max_connections_per_address": 0,
        "max_requests_per_minute": 0,
    }
)
"""Their names, which are those of settings, and the lowest value of each; where that is 0, it means: unlimited."""

_MOST = 2**53  # what JSON's numbers carry everywhere


class LimitsInForce:
    """A value for each of :data:`LIMITS`. Safe to use from several threads or greenlets.

    :param values: the settings' own; :meth:`reset` goes back to them.
    """

    def __init__(self, values: Mapping[str, int]) -> None:
        self._values: dict[str, int] = {}
        for name in LIMITS:
            self.set(name, values[name])
        self._first = dict(self._values)

    @staticmethod
    def of(settings: Settings) -> LimitsInForce:
        """As the settings have them."""
        return LimitsInForce({name: getattr(settings, name) for name in LIMITS})

    def value(self, name: str) -> int:
        """:raises KeyError: for a name that is none."""
        return self._values[name]

    def values(self) -> dict[str, int]:
        """All of them."""
        return dict(self._values)

    def set(self, name: str, value: int) -> None:
        """Replace one, from now on; what was admitted before stays.

        :raises ValueError: for a name that is none, or a value out of its range.
        """
        if name not in LIMITS:
            raise ValueError(f"{name} is no limit that can be changed while the server runs")
        if type(value) is not int or not LIMITS[name] <= value <= _MOST:
            raise ValueError(f"{name}: a whole number of at least {LIMITS[name]} is needed")
        self._values[name] = value

    def reset(self, name: str) -> None:
        """Go back to the setting's own value. :raises ValueError: for a name that is none."""
        if name not in LIMITS:
            raise ValueError(f"{name} is no limit that can be changed while the server runs")
        self._values[name] = self._first[name]

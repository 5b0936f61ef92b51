"""The settings that may be changed while the server runs: which they are, what they are now, and where from."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from annotated_types import Ge
from pydantic.fields import FieldInfo
from sqlalchemy import Connection, delete, insert, select

from app.auth.in_force import LIMITS
from app.auth.times import now_iso
from app.operation.fields import InvalidFields
from app.settings import Settings
from app.store.database import Database
from app.store.tables import stored_settings

logger = logging.getLogger(__name__)

Number = int | float
Source = Literal["default", "environment", "stored"]
Apply = Callable[[str, Number], None]
"""Makes a setting (by its name in small letters) take effect at once."""

LIVE = (*LIMITS, "stream_tokens_per_s")
"""The one table of them. Type, bounds and meaning are those of the fields of :class:`Settings`."""

_MOST = 2**53 - 1  # what every JSON reader can tell exactly


@dataclass(frozen=True, slots=True)
class LiveSetting:
    """One of them as it stands.

    :param name: in capitals, as in the environment.
    :param otherwise: what it is when nothing is stored.
    """

    name: str
    value: Number
    source: Source
    otherwise: Number
    kind: Literal["integer", "number"]
    minimum: Number
    meaning: str
    updated_at: str | None
    updated_by: str | None


class LiveSettings:
    """What is stored wins over the environment. Methods may wait for the database.

    :param apply: called with each value that has changed.
    """

    def __init__(self, database: Database, settings: Settings, apply: Apply) -> None:
        self._database = database
        self._settings = settings
        self._apply = apply
        self._in_use: dict[str, Number] = {name: getattr(settings, name) for name in LIVE}

    def all(self) -> list[LiveSetting]:
        """In the table's order. :raises StoreUnavailable:"""
        stored = self._stored()
        return [self._shown(name, stored.get(name)) for name in LIVE]

    def change(self, entered: Mapping[str, Any], by: str) -> None:
        """Store some, by their names in capitals; None takes back what was stored.

        :raises InvalidFields: for all that are wrong; nothing has changed.
        :raises StoreUnavailable: nothing has changed.
        """
        wrong: dict[str, str] = {}
        values: dict[str, Number | None] = {}
        for shown, value in entered.items():
            name = shown.lower()
            if name not in LIVE or shown != name.upper():
                wrong[shown] = "this is no setting that can be changed here"
                continue
            try:
                values[name] = None if value is None else checked(name, value)
            except ValueError as error:
                wrong[shown] = str(error)
        if wrong:
            raise InvalidFields(wrong)

        def work(connection: Connection) -> None:
            at = now_iso()
            connection.execute(delete(stored_settings).where(stored_settings.c.name.in_(list(values))))
            rows = [
                {"name": name, "value": value, "updated_at": at, "updated_by": by}
                for name, value in values.items()
                if value is not None
            ]
            if rows:
                connection.execute(insert(stored_settings), rows)

        self._database.write(work)
        self.refresh()

    def refresh(self) -> None:
        """Let take effect what the database says now, whoever has changed it. :raises StoreUnavailable:"""
        stored = self._stored()
        for name in LIVE:
            value = self._shown(name, stored.get(name)).value
            if value != self._in_use[name]:
                self._in_use[name] = value
                self._apply(name, value)
                logger.info("%s is %g now", name.upper(), value)

    def _stored(self) -> dict[str, Any]:
        statement = select(stored_settings).where(stored_settings.c.name.in_(LIVE))
        rows = self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return {row["name"]: row for row in rows}

    def _shown(self, name: str, row: Any) -> LiveSetting:
        field, otherwise = _field(name), getattr(self._settings, name)
        value = otherwise
        if row is not None:
            try:
                value = checked(name, row["value"])
            except ValueError:  # another version's bounds
                row = None
        source: Source = "environment" if name in self._settings.model_fields_set else "default"
        return LiveSetting(
            name=name.upper(),
            value=value,
            source=source if row is None else "stored",
            otherwise=otherwise,
            kind="integer" if field.annotation is int else "number",
            minimum=minimum_of(field),
            meaning=field.description or "",
            updated_at=row["updated_at"] if row is not None else None,
            updated_by=row["updated_by"] if row is not None else None,
        )


def checked(name: str, value: Any) -> Number:
    """A value of the setting's own type, within its own bounds.

    :raises ValueError: a sentence that says what is right.
    """
    field = _field(name)
    whole, least = field.annotation is int, minimum_of(field)
    right = f"{'a whole number' if whole else 'a number'}, at least {least:g}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(right)
    if not least <= value <= _MOST or (whole and value != int(value)):
        raise ValueError(right)
    return int(value) if whole else float(value)


def minimum_of(field: FieldInfo) -> Number:
    """The lowest value that a setting takes."""
    bounds = [each.ge for each in field.metadata if isinstance(each, Ge)]
    least: Any = bounds[0]
    return float(least) if field.annotation is float else int(least)


def _field(name: str) -> FieldInfo:
    return Settings.model_fields[name]

"""The confidence that an agent states in its own words. Never invented, never guessed from tone."""

from __future__ import annotations

import re

_STATED = re.compile(
    r"\bconfidence(?:\s+(?:level|score|rating))?\W{0,6}?(?:\s*(?:is|of|at|:|=|-)\s*)?\W{0,4}"
    r"(?P<figure>\d{1,3}(?:[.,]\d+)?)\s*(?P<unit>%|percent|/\s*10{1,2}\b|out of 10{1,2}\b)?",
    re.IGNORECASE,
)


def stated_confidence(text: str) -> float | None:
    """A figure from 0 to 1 where the text says ``Confidence: 0.7``, ``70%`` or ``7/10``; None where it states none.

    Where it states several, the last one counts. A bare figure above 1 (``Confidence: 7``) has no known scale: None.
    """
    found: float | None = None
    for match in _STATED.finditer(text):
        value = _scaled(float(match["figure"].replace(",", ".")), (match["unit"] or "").replace(" ", "").lower())
        if value is not None and 0 <= value <= 1:
            found = round(value, 4)
    return found


def _scaled(figure: float, unit: str) -> float | None:
    if unit in ("%", "percent") or unit.endswith("100"):
        return figure / 100
    if unit.endswith("10"):
        return figure / 10
    return figure if figure <= 1 else None

"""Figures of a measurement: collected per round, reduced to medians, printed beside the comparison's."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

LATENESS_INTERVAL_S = 0.005  # how often loops look at the clock

Better = Literal["lower", "higher", "none"]


@dataclass(frozen=True, slots=True)
class Figure:
    """What is measured. ``target`` is what is asked of ours; ``better`` says which way is good.

    :param target_ratio: what is asked of ours in relation to the plain app.
    :param worst: reduce the rounds to their worst value instead of their median (for what must never happen).
    """

    name: str
    unit: str
    target: float | None = None
    better: Better = "lower"
    worst: bool = False
    target_ratio: float | None = None

    def reached(self, ours: float | None, plain: float | None) -> bool | None:
        """Whether the target is met; None where there is none, or where it was not measured."""
        limit = self.target
        if self.target_ratio is not None:
            limit = None if plain is None else self.target_ratio * plain
        if limit is None or ours is None:
            return None
        return ours >= limit if self.better == "higher" else ours <= limit

    def describe_target(self) -> str:
        """The target as text: ``≤ 250``; empty where there is none."""
        sign = "≥" if self.better == "higher" else "≤"
        if self.target_ratio is not None:
            return f"{sign} {self.target_ratio:.2f}x plain"
        return "" if self.target is None else f"{sign} {_number(self.target)}"


@dataclass(slots=True)
class CaseResult:
    """The figures of one case, for each target, over all rounds."""

    case: str
    title: str
    figures: tuple[Figure, ...]
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, target: str, measured: dict[str, float | None]) -> None:
        """Note one round of one target. None: could not be measured."""
        for name, value in measured.items():
            if value is not None:
                self.values.setdefault(target, {}).setdefault(name, []).append(value)

    def reduced(self, target: str, figure: Figure) -> float | None:
        """The median of the rounds, or the worst."""
        values = self.values.get(target, {}).get(figure.name)
        if not values:
            return None
        if figure.worst:
            return min(values) if figure.better == "higher" else max(values)
        return statistics.median(values)

    def rows(self) -> list[dict[str, Any]]:
        """One row per figure: ours, plain, their ratio, the target and whether it is reached."""
        rows: list[dict[str, Any]] = []
        for figure in self.figures:
            ours, plain = self.reduced("colloquy", figure), self.reduced("plain", figure)
            rows.append(
                {
                    "figure": figure.name,
                    "unit": figure.unit,
                    "ours": ours,
                    "plain": plain,
                    "ratio": ours / plain if ours is not None and plain else None,
                    "better": figure.better,
                    "target": figure.describe_target(),
                    "reached": figure.reached(ours, plain),
                }
            )
        return rows


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which ``share`` of an ordered sequence lies (1.0: the maximum); None for an empty one."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def lateness_figures(late_s: Sequence[float]) -> dict[str, float]:
    """p50, p99, p99.9 and maximum in milliseconds; zeros where there was no sample."""
    ordered = sorted(late_s) or [0.0]

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)

    return {"p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": at(1.0)}


def table(results: Sequence[CaseResult]) -> str:
    """All results as text for a terminal."""
    lines: list[str] = []
    for result in results:
        rounds = max((len(v) for values in result.values.values() for v in values.values()), default=0)
        lines += ["", f"{result.case}: {result.title} (medians of {rounds} interleaved rounds)"]
        lines.append(f"  {'':50}{'ours':>12}{'plain':>12}{'ratio':>9}   target")
        for row in result.rows():
            name = f"{row['figure']} [{row['unit']}]"
            verdict = {True: "reached", False: "MISSED", None: "not measured"}[row["reached"]]
            target = f"{row['target']} {verdict}" if row["target"] else ""
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}x"
            lines.append(f"  {name:50}{_number(row['ours']):>12}{_number(row['plain']):>12}{ratio:>9}   {target}")
        lines += [f"  · {note}" for note in dict.fromkeys(result.notes)]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

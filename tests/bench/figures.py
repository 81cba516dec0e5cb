"""The arithmetic of the benchmarks: a series of measurements, ratios between two, and a line through growing costs.

Pure. Medians are compared, never means: one call that met a busy machine must not decide.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """What repeated measurements of one thing gave, in the order they were taken. `unit` is s, ms or a noun."""

    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value. Raises statistics.StatisticsError when nothing was measured."""
        return statistics.median(self.values)

    def as_json(self) -> dict[str, object]:
        """Everything about the series, the single values too."""
        return {
            "unit": self.unit,
            "n": len(self.values),
            "min": round(min(self.values), 4),
            "median": round(self.median, 4),
            "max": round(max(self.values), 4),
            "values": [round(value, 4) for value in self.values],
        }

    def __str__(self) -> str:
        """For people: the median, and the extremes when there is more than one value."""
        if len(self.values) == 1:
            return f"{_number(self.median)} {self.unit}"
        return f"{_number(self.median)} {self.unit} ({_number(min(self.values))}-{_number(max(self.values))})"


@dataclass(frozen=True, slots=True)
class Line:
    """A cost that grows with the number of resources already there: `base` and `slope` per resource, in seconds."""

    base: float
    slope: float

    def total(self, first: int, count: int) -> float:
        """The seconds of `count` calls in a row, the first of which finds `first` resources."""
        return sum(self.base + self.slope * (first + number) for number in range(count))


def line(points: Sequence[tuple[float, float]]) -> Line:
    """The line of least squares through (resources, seconds). Points at one size only give no slope."""
    sizes, costs = [size for size, _ in points], [cost for _, cost in points]
    if len(set(sizes)) < 2:
        return Line(statistics.median(costs), 0.0)
    slope, base = statistics.linear_regression(sizes, costs)
    return Line(base, slope)


def ratio(other: float, ours: float) -> float | None:
    """How many times ours the other is; None when ours is nothing and there is no such number."""
    return other / ours if ours > 0 else None


def told(value: float | None) -> str:
    """A ratio for people, from the view of ours: above one ours is the cheaper."""
    return "-" if value is None else f"{value:.2g}x" if value < 10 else f"{value:.0f}x"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"

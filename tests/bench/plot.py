"""Draws how a cost grows with the number of VMs, as SVG that a browser shows beside a page: points, and the line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tests.bench.figures import Line

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 250, 60, 34, 30
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: medians by number of VMs, the line through them, and a bound that holds at one number of VMs."""

    title: str
    unit: str
    points: Sequence[tuple[float, float]]
    line: Line
    bound: tuple[float, float]


def svg(panels: Sequence[Panel]) -> str:
    """The panels below each other."""
    height = HEIGHT * len(panels)
    drawn = "".join(
        f'<g transform="translate(0,{i * HEIGHT})">{"".join(_panel(panel))}</g>\n' for i, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n{drawn}</svg>\n'
    )


def _panel(panel: Panel) -> list[str]:
    most_x = max(x for x, _ in panel.points)
    most_y = max(*(y for _, y in panel.points), panel.bound[1]) * 1.08

    def at(x: float, y: float) -> tuple[float, float]:
        wide, high = WIDTH - LEFT - 20, HEIGHT - BOTTOM - TOP
        return round(LEFT + x / most_x * wide, 1), round(TOP + high - y / most_y * high, 1)

    drawn = [f'<text x="{LEFT}" y="18" font-weight="bold">{escape(panel.title)}</text>']
    for value in _ticks(most_y):
        (x0, y), (x1, _) = at(0, value), at(most_x, value)
        drawn.append(f'<line x1="{x0}" y1="{y}" x2="{x1}" y2="{y}" stroke="#ddd"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:g}</text>')
    for value in _ticks(most_x):
        x, y = at(value, 0)
        drawn.append(f'<text x="{x}" y="{y + 16}" text-anchor="middle">{value:g}</text>')
    (x0, y0), (x1, y1) = at(0, panel.line.base), at(most_x, panel.line.base + panel.line.slope * most_x)
    drawn.append(f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="#4a7ebb" stroke-dasharray="5 4"/>')
    (x, y), (xb, _) = at(*panel.bound), at(0, 0)
    drawn.append(f'<path d="M {xb} {y} H {x} V {at(0, 0)[1]}" fill="none" stroke="#b33" stroke-dasharray="2 3"/>')
    bound = escape(f"{panel.bound[1]:g} {panel.unit} for {panel.bound[0]:g} VMs")
    drawn.append(f'<text x="{x + 5}" y="{y - 4}" fill="#b33">{bound}</text>')
    drawn += [f'<circle cx="{x}" cy="{y}" r="4" fill="#1f4e8c"/>' for x, y in (at(*p) for p in panel.points)]
    return drawn


def _ticks(most: float) -> list[float]:
    """Four to eight round numbers from nothing up."""
    size: float = 10 ** (len(str(int(most))) - 2) if most >= 1 else 0.01
    step = next(s for s in (size * f * 10**p for p in range(3) for f in _STEPS) if most / s <= 8)
    return [round(step * i, 6) for i in range(int(most / step) + 1)]

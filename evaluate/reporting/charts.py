"""Charts as SVG text, for pages that load nothing: lines with bands, and points."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f6d00", "#555555")  # Okabe and Ito
DASHES = ("", "6 3", "2 3")
WIDTH, HEIGHT = 480, 270
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 12, 44
NAMED = 8  # points up to which names stand beside them
LETTER = 6.6  # pixels that a letter takes


@dataclass(frozen=True)
class Series:
    """Points (x, y) in order, joined by a line; ``band`` holds a low and a high for every point."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    band: tuple[Sequence[float], Sequence[float]] | None = None


def line_chart(series: Sequence[Series], *, x_label: str, y_label: str, counts: bool = False) -> str:
    """Every series as a line over its band; colour and dash tell them apart, in the order of the legend.

    With ``counts`` x is a number of something, and only whole numbers stand on its axis.
    """
    axes = _Axes(
        [x for one in series for x in one.x],
        [y for one in series for y in (*one.y, *(one.band[0] if one.band else ()), *(one.band[1] if one.band else ()))],
        counts=counts,
    )
    parts = [axes.draw(x_label, y_label)]
    for place, one in enumerate(series):
        if one.band is not None:
            ring = [*zip(one.x, one.band[1], strict=True), *reversed(list(zip(one.x, one.band[0], strict=True)))]
            parts.append(f'<polygon points="{axes.points(ring)}" fill="{colour(place)}" fill-opacity="0.13"/>')
    for place, one in enumerate(series):
        points = axes.points(zip(one.x, one.y, strict=True))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour(place)}" stroke-width="2" '
            f'stroke-dasharray="{dash(place)}"><title>{escape(one.name)}</title></polyline>'
        )
    return _svg(parts, f"{y_label} by {x_label}")


def point_chart(points: Sequence[tuple[int, str, float, float]], *, x_label: str, y_label: str) -> str:
    """Points (number, name, x, y), the first of them filled: each beside its name, or its number if they are many."""
    axes = _Axes([x for _, _, x, _ in points], [y for *_, y in points])
    parts = [axes.draw(x_label, y_label)]
    for place, (number, name, x, y) in enumerate(points):
        left, top = axes.place(x, y)
        fill = LINE_COLOURS[0] if place == 0 else "white"
        text = name if len(points) <= NAMED and len(name) * LETTER < WIDTH / 2 else str(number)
        is_right = left + 8 + len(text) * LETTER > WIDTH
        parts.append(
            f'<circle cx="{left:.1f}" cy="{top:.1f}" r="5" fill="{fill}" stroke="{LINE_COLOURS[0]}" stroke-width="2">'
            f"<title>{escape(f'{number}. {name}: {x:g}, {y:.2f}')}</title></circle>"
            f'<text x="{left + (-9 if is_right else 9):.1f}" y="{top + 4:.1f}"'
            f"{' text-anchor=' + chr(34) + 'end' + chr(34) if is_right else ''}>{escape(text)}</text>"
        )
    return _svg(parts, f"{y_label} by {x_label}")


def colour(place: int) -> str:
    """The colour of the series at that place of the legend."""
    return LINE_COLOURS[place % len(LINE_COLOURS)]


def dash(place: int) -> str:
    """The dashes of the series at that place of the legend, other ones where colours come again."""
    return DASHES[place // len(LINE_COLOURS) % len(DASHES)]


def ticks(low: float, high: float, *, about: int = 5, whole: bool = False) -> list[float]:
    """Round numbers, evenly spaced, that cover low to high; at least two, and whole ones where asked for."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** floor(log10(span / about))
    step = next((size * power for size in (1, 2, 2.5, 5, 10) if span / (size * power) <= about), 10 * power)
    step = max(1.0, float(ceil(step))) if whole else step
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [place * step for place in range(first, max(last, first + 1) + 1)]


class _Axes:
    """Where numbers lie in the picture: two ranges of round numbers that hold all values."""

    def __init__(self, x: Sequence[float], y: Sequence[float], *, counts: bool = False) -> None:
        self.x_ticks = ticks(min(x, default=0.0), max(x, default=1.0), about=6, whole=counts)
        self.y_ticks = ticks(min(y, default=0.0), max(y, default=1.0))

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x_ticks[0]) / (self.x_ticks[-1] - self.x_ticks[0])
        up = (y - self.y_ticks[0]) / (self.y_ticks[-1] - self.y_ticks[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def points(self, values: "Sequence[tuple[float, float]] | zip[tuple[float, float]]") -> str:
        return " ".join(f"{left:.1f},{top:.1f}" for left, top in (self.place(x, y) for x, y in values))

    def draw(self, x_label: str, y_label: str) -> str:
        parts = []
        for value in self.y_ticks:
            _, top = self.place(self.x_ticks[0], value)
            parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{top:.1f}" y2="{top:.1f}" class="grid"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{top + 4:.1f}" text-anchor="end">{value:g}</text>')
        for value in self.x_ticks:
            left, _ = self.place(value, self.y_ticks[0])
            parts.append(f'<text x="{left:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{value:g}</text>')
        middle, bottom = (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6
        parts.append(f'<text x="{middle}" y="{bottom}" text-anchor="middle">{escape(x_label)}</text>')
        centre = (TOP + HEIGHT - BOTTOM) / 2
        turned = f'transform="rotate(-90 13 {centre})"'
        parts.append(f'<text x="13" y="{centre}" text-anchor="middle" {turned}>{escape(y_label)}</text>')
        return "".join(parts)


def _svg(parts: Sequence[str], name: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )

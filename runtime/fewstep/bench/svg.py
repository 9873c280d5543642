"""Bar charts as inline SVG that follow the width of the page: bars in per cent, text in its own size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_ROW, _BAR, _TEXT = 42, 14, 13  # heights in pixels of a row, of its bar, and of the line of text above it


@dataclass(frozen=True)
class Bar:
    """One bar: its label, its value, the value in words, and where a mark stands on the same scale (None: no mark); and a colour, 0 to 6."""

    label: str
    value: float
    words: str
    mark: float | None = None
    colour: int = 0


def bars(rows: Sequence[Bar], title: str) -> str:
    """A horizontal bar for each row, all on one scale from 0."""
    most = max((max(row.value, row.mark or 0.0) for row in rows), default=0.0) or 1.0
    drawn = []
    for i, row in enumerate(rows):
        drawn.append(_labels(i, row.label, row.words) + _bar(i, 0.0, row.value / most, row.colour))
        if row.mark is not None:
            drawn.append(_mark(i, row.mark / most))
    return _svg(drawn, len(rows), title)


def stacked(rows: Mapping[str, Mapping[str, float]], parts: Sequence[str], title: str) -> str:
    """For each row a bar of full width, cut into its parts; the shares of a row sum to 1."""
    drawn = []
    for i, (label, shares) in enumerate(rows.items()):
        drawn.append(_labels(i, label, ""))
        begin = 0.0
        for colour, part in enumerate(parts):
            drawn.append(_bar(i, begin, shares.get(part, 0.0), colour))
            begin += shares.get(part, 0.0)
    return _svg(drawn, len(rows), title)


def legend(parts: Sequence[str]) -> str:
    """The names of the parts of a stacked bar beside their colours, as HTML."""
    entries = (
        f'<span><svg width="12" height="12" aria-hidden="true"><rect class="c{i}" width="12" height="12"/></svg> '
        f"{escape(part)}</span>"
        for i, part in enumerate(parts)
    )
    return f'<p class="legend">{"".join(entries)}</p>'


def _svg(drawn: Sequence[str], rows: int, title: str) -> str:
    return (
        f'<svg class="chart" width="100%" height="{rows * _ROW}" role="img" aria-label="{escape(title)}">'
        f"{''.join(drawn)}</svg>"
    )


def _labels(row: int, label: str, words: str) -> str:
    y = row * _ROW + _TEXT
    return (
        f'<text x="0" y="{y}">{escape(label)}</text>'
        f'<text class="value" x="100%" y="{y}" text-anchor="end">{escape(words)}</text>'
    )


def _bar(row: int, begin: float, share: float, colour: int) -> str:
    y = row * _ROW + _TEXT + 7
    return (
        f'<rect class="c{colour}" x="{100 * begin:.3f}%" y="{y}" width="{100 * share:.3f}%" height="{_BAR}"/>'
    )


def _mark(row: int, share: float) -> str:
    """A thin line across the bar; at most 99.5 %, so that the last one is not cut off at the edge."""
    x, y = min(100 * share, 99.5), row * _ROW + _TEXT + 5
    return f'<line class="mark" x1="{x:.3f}%" x2="{x:.3f}%" y1="{y}" y2="{y + _BAR + 4}"/>'

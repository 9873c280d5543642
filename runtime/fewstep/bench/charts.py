"""The charts of a report, each a section of HTML with a heading and a note."""

from collections.abc import Sequence
from html import escape

from fewstep.bench.latency import Latency
from fewstep.bench.report import Report
from fewstep.bench.svg import Bar, bars, legend, stacked
from fewstep.bench.units import megabytes, milliseconds, percent

_LATENCY_NOTE = "Bar: median. Line: 90th percentile."


def charts(report: Report) -> str:
    """All charts, in columns where the page is wide enough."""
    sections = (_generation(report), _shares(report), _memory(report), _sizes(report), _graphs(report))
    return f'<div class="charts">{"".join(sections)}</div>'


def _generation(report: Report) -> str:
    title = "Prompt to picture, ms"
    rows = [_latency_bar(v.name, v.generation) for v in report.variants]
    return _section(title, _LATENCY_NOTE, bars(rows, title))


def _graphs(report: Report) -> str:
    """The bars of one graph stand together, one a variant, in the colour that the graph has in the shares."""
    title, colours = "Graphs, ms", _parts(report)
    rows = [
        _latency_bar(f"{c.component} x{c.batch}, {v.name}", c.latency, colours.index(c.component))
        for graph in dict.fromkeys((c.component, c.batch) for v in report.variants for c in v.components)
        for v in report.variants
        for c in v.components
        if (c.component, c.batch) == graph
    ]
    return _section(title, _LATENCY_NOTE, bars(rows, title))


def _shares(report: Report) -> str:
    title, parts = "Where the time goes", _parts(report)
    outside = ", ".join(f"{v.name} {percent(v.host_share)}" for v in report.variants)
    chart = stacked({v.name: v.shares for v in report.variants}, parts, title)
    return _section(title, f"Outside the graphs: {outside}.", chart + legend(parts))


def _memory(report: Report) -> str:
    title, note = "Peak memory, MB", "Of a fresh process that loads the variant and draws one picture."
    peaks = {v.name: v.cold.peak_memory.bytes for v in report.variants}
    rows = [Bar(name, peak, megabytes(peak)) for name, peak in peaks.items() if peak is not None]
    return _section(title, note, bars(rows, title) if rows else "<p>Not measured on this platform.</p>")


def _sizes(report: Report) -> str:
    title = "Size on disk, MB"
    rows = [Bar(v.name, v.size, megabytes(v.size)) for v in report.variants]
    return _section(title, "All graphs of the variant.", bars(rows, title))


def _section(title: str, note: str, chart: str) -> str:
    return f'<section><h2>{escape(title)}</h2><p class="quiet">{escape(note)}</p>{chart}</section>'


def _parts(report: Report) -> Sequence[str]:
    """The parts of the time, graphs and host, in the order of their colours."""
    return list(dict.fromkeys(part for v in report.variants for part in v.shares))


def _latency_bar(label: str, latency: Latency, colour: int = 0) -> Bar:
    return Bar(label, latency.median, milliseconds(latency.median), latency.p90, colour)

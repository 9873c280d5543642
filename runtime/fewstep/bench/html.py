"""A benchmark as one HTML file that loads nothing: style, charts and pictures are inside it."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from fewstep.bench.charts import charts
from fewstep.bench.meter import Drawn
from fewstep.bench.report import Report
from fewstep.bench.runner import Benchmark
from fewstep.bench.units import megabytes, milliseconds, percent
from fewstep.image import png_bytes

_PICTURES = 8  # shown of each variant
_SIDE = 256  # pixels of a shown picture at most, so that the page of a large model stays small
_STYLE = Path(__file__).with_name("report.css")


def page(benchmark: Benchmark) -> str:
    """The page: charts, the table of all figures, the pictures of the timed runs, and what it was measured on."""
    report = benchmark.report
    title = f"fewstep bench: {report.bundle}"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1>",
            f"<p>{escape(_summary(report))}</p>",
            charts(report),
            "<h2>Figures</h2>",
            _latency_table(report),
            _resource_table(report),
            "<h2>Pictures of the timed runs</h2>",
            *(f"<h3>{escape(name)}</h3>{_grid(drawn)}" for name, drawn in benchmark.drawn.items()),
            "<h2>Measured on</h2>",
            _facts(report),
            "</body>\n</html>\n",
        ]
    )


def _summary(report: Report) -> str:
    s, device = report.settings, report.device
    return (
        f"{s.step_table}, guidance {s.guidance:g}, {_count(s.threads, 'thread')} on {device.processor}; "
        f"{_count(s.runs, 'timed round')} over the variants after {_count(s.warmup, 'warm-up round')}."
    )


def _latency_table(report: Report) -> str:
    head = ["variant", "ms", "median", "p90", "first"]
    rows = [
        ["" if i else v.name, what, *map(milliseconds, (latency.median, latency.p90, latency.first))]
        for v in report.variants
        for i, (what, latency) in enumerate(v.latencies)
    ]
    return _html_table(head, rows)


def _resource_table(report: Report) -> str:
    head = ["variant", "loop", "load ms", "peak MB", "disk MB", "host"]
    rows = [
        [
            v.name,
            v.loop,
            milliseconds(v.cold.load),
            megabytes(v.cold.peak_memory.bytes),
            megabytes(v.size),
            percent(v.host_share),
        ]
        for v in report.variants
    ]
    return _html_table(head, rows)


def _html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f'<div class="scroll"><table><thead>{line(head, "th")}</thead><tbody>{body}</tbody></table></div>'


def _grid(drawn: Sequence[Drawn]) -> str:
    return f'<div class="grid">{"".join(map(_figure, drawn[:_PICTURES]))}</div>'


def _figure(drawn: Drawn) -> str:
    picture = drawn.picture.copy()
    picture.thumbnail((_SIDE, _SIDE))
    source = f"data:image/png;base64,{b64encode(png_bytes(picture)).decode()}"
    caption = f"{drawn.prompt} (seed {drawn.seed})"
    return (
        f'<figure><img src="{source}" alt="{escape(drawn.prompt)}" width="{picture.width}" '
        f'height="{picture.height}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _facts(report: Report) -> str:
    device = report.device
    facts: Mapping[str, str] = {
        "processor": f"{device.processor}, {device.machine}",
        "cores": f"{device.cores} physical, {device.logical_cores} logical",
        "load before": "unknown" if device.busy is None else f"{device.busy:.2f} running processes",
        "system": device.system,
        "python": device.python,
        "packages": ", ".join(f"{name} {version}" for name, version in device.packages.items()),
        "memory by": report.variants[0].cold.peak_memory.method,
        **device.board,
        "not quiet": "; ".join(report.marks) or "nothing noticed",
        "date": device.date,
        "command": report.command,
    }
    return f"<dl>{''.join(f'<dt>{escape(k)}</dt><dd>{escape(v)}</dd>' for k, v in facts.items())}</dl>"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

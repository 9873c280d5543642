"""`fewstep bench --report A.json B.json ...`: one page of devices and builds, of this command's reports and of browsers'."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from fewstep import atomic
from fewstep.bench.browser_report import BrowserReport, by_component
from fewstep.bench.report import FORMAT, Report
from fewstep.bench.svg import Bar, bars
from fewstep.bench.units import milliseconds
from fewstep.errors import FewstepError
from fewstep.records import from_json
from fewstep.strict_json import load_json

BROWSERS = "fewstep-web-bench-results"
"""The format of a file of `fewstep bench --device web --json`: {"format", "version": 1, "reports": [...]}."""

_STYLE = Path(__file__).with_name("report.css")
_HEIGHT = 160  # of the plot of sustained drawings, in pixels


@dataclass(frozen=True)
class Row:
    """One build on one device; seconds, None where it was not measured.

    Attributes:
        source: the file's name, or what else the page calls it.
        device, build, engine: in words.
        first: the first picture.
        median: prompt to picture.
        step: one evaluation of the denoiser as the sampler calls it.
        sustained: (seconds since the beginning, seconds of the drawing).
    """

    source: str
    device: str
    build: str
    engine: str
    first: float | None
    median: float
    step: float | None
    sustained: tuple[tuple[float, float], ...] = ()

    @property
    def label(self) -> str:
        """What a chart calls it."""
        return f"{self.build}, {self.engine}, {self.device}"


def run(files: Sequence[Path], html_file: Path | None) -> None:
    """Writes the page.

    Raises:
        FewstepError: there is no file to write, or one of those to read is no report.
        OSError: the page cannot be written.
    """
    if html_file is None:
        raise FewstepError("expected --html FILE with --report, found none; say where the page shall go")
    rows = [row for file in files for row in rows_of(load_json(file), str(file), file.stem)]
    atomic.write_bytes(html_file, page(rows).encode())


def rows_of(value: object, where: str, source: str) -> list[Row]:
    """The builds in a report of this command, or of browsers as far as they are done.

    Raises:
        FewstepError: it is neither.
    """
    found = value.get("format") if isinstance(value, Mapping) else None
    if isinstance(value, Mapping) and found == BROWSERS:
        reports = from_json(_Browsers, value, where).reports
        return [row_of(report, source) for report in reports if report.state == "done"]
    if found != FORMAT:
        raise FewstepError(
            f"expected a report of fewstep bench, found the format {found!r}, in {where}; give files of its --json"
        )
    report = Report.from_dict(value, where)
    return [
        Row(
            source,
            f"{report.device.processor}, {report.device.system}",
            v.name,
            f"{v.engine}, {report.settings.threads} threads",
            v.generation.first,
            v.generation.median,
            max((c.latency.median for c in v.components if c.component == "denoiser"), default=None),
        )
        for v in report.variants
    ]


def row_of(report: BrowserReport, source: str) -> Row:
    """A browser's report that is done."""
    build, median = report.build, report.median_ms
    assert build is not None and median is not None, "BrowserReport checks it"
    step = by_component(report.runs).get("denoiser")
    return Row(
        source,
        f"{report.device} ({_described(report.browser)})",
        build.variant,
        build.engine,
        None if report.first is None else report.first.ms / 1e3,
        median / 1e3,
        None if step is None else step / 1e3,
        tuple((second, ms / 1e3) for second, ms in report.sustained),
    )


def _described(facts: Mapping[str, object]) -> str:
    """The browser, or the model and system that a native app told."""
    if "model" in facts:
        return f"{facts['model']}, {facts.get('system')}"
    return browser_name(str(facts.get("user_agent", "")))


def browser_name(user_agent: str) -> str:
    """The browser and the system of a user agent, as far as it tells the truth."""
    names = {"Edg/": "Edge", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
    systems = {
        "Android": "Android",
        "iPhone": "iPhone",
        "iPad": "iPad",
        "Mac OS": "macOS",
        "Windows": "Windows",
        "Linux": "Linux",
    }
    browser = next((name for sign, name in names.items() if sign in user_agent), "a browser")
    system = next((name for sign, name in systems.items() if sign in user_agent), "an unknown system")
    return f"{browser}, {system}"


def page(rows: Sequence[Row]) -> str:
    """An HTML page that loads nothing."""
    title = "fewstep: devices and builds"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>",
            f"<h1>{title}</h1>",
            f'<div class="scroll">{_table(rows)}</div>',
            '<div class="charts">',
            _bars("Prompt to picture, median, ms", [(row.label, row.median) for row in rows]),
            _bars("First picture, ms", [(row.label, row.first) for row in rows]),
            _bars("A step of the denoiser, ms", [(row.label, row.step) for row in rows]),
            *(_sustained(row) for row in rows if len(row.sustained) > 1),
            "</div>\n</body>\n</html>\n",
        ]
    )


def _table(rows: Sequence[Row]) -> str:
    head = "".join(
        f"<th>{name}</th>"
        for name in ("device", "build", "engine", "first, ms", "median, ms", "step, ms", "from")
    )
    lines = [
        "".join(
            f"<td>{escape(cell)}</td>"
            for cell in (
                row.device,
                row.build,
                row.engine,
                *("" if v is None else milliseconds(v) for v in (row.first, row.median, row.step)),
                row.source,
            )
        )
        for row in rows
    ]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _bars(title: str, values: Sequence[tuple[str, float | None]]) -> str:
    found = [Bar(label, value, milliseconds(value)) for label, value in values if value is not None]
    return f"<section><h2>{escape(title)}</h2>{bars(found, title)}</section>"


def _sustained(row: Row) -> str:
    """Drawings one after the other as a line over time, from 0: a device that grows hot climbs."""
    end, most = row.sustained[-1][0], max(seconds for _, seconds in row.sustained)
    points = " ".join(
        f"{100 * second / end:.2f},{100 - 95 * seconds / most:.2f}" for second, seconds in row.sustained
    )
    title = f"Sustained for {end:.0f} s: {row.label}"
    return (
        f'<section><h2>{escape(title)}</h2><p class="quiet">Up to {milliseconds(most)} ms a picture.</p>'
        f'<svg width="100%" height="{_HEIGHT}" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title)}"><polyline points="{points}" fill="none" stroke="var(--c0)" stroke-width="2" '
        'vector-effect="non-scaling-stroke"/></svg></section>'
    )


@dataclass(frozen=True)
class _Browsers:
    """What the format BROWSERS holds."""

    format: str
    version: int
    reports: tuple[BrowserReport, ...]

"""The live table of devices in the terminal."""

from collections.abc import Sequence

from rich.table import Table

from fewstep.bench.browser_report import BrowserReport, by_component


def table(reports: Sequence[BrowserReport]) -> Table:
    """A row for every device; times in milliseconds, and how many times longer a picture takes once the device is hot."""
    made = Table(title="phones; times in ms", padding=(0, 0))
    for name in ("device", "state", "build", "engine"):
        made.add_column(name, overflow="fold")
    for name in ("first", "median", "step", "decoder", "hot"):
        made.add_column(name, justify="right")
    for report in reports:
        made.add_row(report.device, report.error or report.state, *_build(report), *_times(report))
    return made


def _build(report: BrowserReport) -> tuple[str, str]:
    return ("", "") if report.build is None else (report.build.variant, report.build.engine)


def _times(report: BrowserReport) -> tuple[str, ...]:
    calls = by_component(report.runs)
    ratio = report.throttling
    figures = (
        report.first and report.first.ms,
        report.median_ms,
        calls.get("denoiser"),
        calls.get("decoder"),
    )
    return (*("" if ms is None else f"{ms:.0f}" for ms in figures), "" if ratio is None else f"{ratio:.2f}x")

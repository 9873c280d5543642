"""The report as a table on the terminal."""

from rich.table import Table

from fewstep.bench.report import Report
from fewstep.bench.units import megabytes, milliseconds, percent


def latency_table(report: Report) -> Table:
    """A row for the whole and one for every graph of every variant, in milliseconds."""
    s = report.settings
    table = Table(
        title=f"{report.bundle}, {s.step_table}, guidance {s.guidance:g}, threads {s.threads}, runs {s.runs}"
    )
    table.add_column("variant")
    table.add_column("what")
    for head in ("median ms", "p90 ms", "first ms"):
        table.add_column(head, justify="right")
    for v in report.variants:
        for i, (what, latency) in enumerate(v.latencies):
            times = map(milliseconds, (latency.median, latency.p90, latency.first))
            table.add_row("" if i else v.name, what, *times, end_section=i == len(v.components))
    return table


def resource_table(report: Report) -> Table:
    """A row a variant: form of the loop, load time, peak memory, size on disk, share of the time outside the graphs."""
    table = Table()
    table.add_column("variant")
    table.add_column("loop")
    for head in ("load ms", "peak MB", "disk MB", "outside the graphs"):
        table.add_column(head, justify="right")
    for v in report.variants:
        memory = megabytes(v.cold.peak_memory.bytes)
        figures = milliseconds(v.cold.load), memory, megabytes(v.size), percent(v.host_share)
        table.add_row(v.name, v.loop, *figures)
    return table

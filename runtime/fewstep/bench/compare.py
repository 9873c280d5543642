"""`fewstep bench --compare A.json B.json ...`: how many times faster, smaller or lighter each report is than the first."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fewstep import atomic
from fewstep.bench.report import Report, VariantReport
from fewstep.bench.svg import Bar, bars
from fewstep.bench.units import milliseconds
from fewstep.errors import FewstepError
from fewstep.records import to_json
from fewstep.strict_json import load_json

_STYLE = Path(__file__).with_name("report.css")


@dataclass(frozen=True)
class Row:
    """One figure in several reports.

    Attributes:
        variant: of the bundle.
        what: "prompt to picture", a graph with its batch, "peak memory" or "size on disk".
        values: in seconds or bytes, one a report; None where it has none.
        ratios: the first value over each, so that above 1 is better.
    """

    variant: str
    what: str
    values: tuple[float | None, ...]

    @property
    def ratios(self) -> tuple[float | None, ...]:
        first = self.values[0]
        return tuple(first / value if first and value else None for value in self.values)


def run(files: Sequence[Path], json_file: str | None, html_file: Path | None) -> None:
    """Prints the comparison, and writes it as JSON ("-": standard output) and as a page with bars where asked.

    Raises:
        FewstepError: fewer than two files, or one that is no report, or reports without a variant in common.
        OSError: a file cannot be written.
    """
    if len(files) < 2:
        raise FewstepError(
            f"expected two or more reports to compare, found {len(files)}; give files of --json"
        )
    names = names_of(files)
    reports = {
        name: Report.from_dict(load_json(file), str(file)) for name, file in zip(names, files, strict=True)
    }
    rows, notes = compare(reports), different(reports)
    console = Console(stderr=True)
    console.print(_table(names, rows))
    for note in notes:
        console.print(f"note: {note}", soft_wrap=True, highlight=False)
    if html_file:
        atomic.write_bytes(html_file, page(names, rows, notes).encode())
    value = {
        "reports": names,
        "rows": [to_json(row) | {"ratios": list(row.ratios)} for row in rows],
        "notes": list(notes),
    }
    text = json.dumps(value, indent=2) + "\n"
    if json_file == "-":
        sys.stdout.write(text)
    elif json_file:
        atomic.write_bytes(Path(json_file), text.encode())


def names_of(files: Sequence[Path]) -> list[str]:
    """The files' names without their ending; numbered where two are the same."""
    stems = [file.stem for file in files]
    return [stem if stems.count(stem) == 1 else f"{stem}-{i + 1}" for i, stem in enumerate(stems)]


def compare(reports: Mapping[str, Report]) -> list[Row]:
    """A row for every figure of every variant that all reports have, in the order of the first.

    Raises:
        FewstepError: there is no such variant.
    """
    by_name = [{v.name: v for v in report.variants} for report in reports.values()]
    common = [name for name in by_name[0] if all(name in variants for variants in by_name)]
    if not common:
        found = "; ".join(", ".join(variants) for variants in by_name)
        raise FewstepError(
            f"expected a variant that all reports have, found {found}; measure the same ones (--variant)"
        )
    rows = []
    for name in common:
        figures = [_figures(variants[name]) for variants in by_name]
        rows += [Row(name, what, tuple(f.get(what) for f in figures)) for what in figures[0]]
    return rows


def different(reports: Mapping[str, Report]) -> tuple[str, ...]:
    """What else than the device differs between the reports, in words, since ratios mean little then."""
    notes = []
    first = next(iter(reports.values()))
    for name, report in reports.items():
        if report.bundle != first.bundle:
            notes.append(f"{name} is of another bundle, {report.bundle}")
        a, b = to_json(first.settings), to_json(report.settings)
        told = ("step_table", "guidance", "threads")
        notes += [f"{name} has {key} {b[key]} instead of {a[key]}" for key in told if a[key] != b[key]]
    return tuple(notes)


def page(names: Sequence[str], rows: Sequence[Row], notes: Sequence[str]) -> str:
    """An HTML page that loads nothing, with bars of the times."""
    sections = [
        f"<section><h2>{escape(f'{row.what}, {row.variant}')}, ms</h2>{_bars(names, row)}</section>"
        for row in rows
        if row.what not in (_MEMORY, _SIZE)
    ]
    title = f"fewstep bench: {' and '.join(names)}"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f"<title>{escape(title)}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1>",
            *(f"<p>{escape(note)}</p>" for note in notes),
            f'<div class="charts">{"".join(sections)}</div>\n</body>\n</html>\n',
        ]
    )


_MEMORY, _SIZE = "peak memory", "size on disk"


def _figures(variant: VariantReport) -> dict[str, float | None]:
    times: dict[str, float | None] = {what: latency.median for what, latency in variant.latencies}
    return times | {_MEMORY: variant.cold.peak_memory.bytes, _SIZE: variant.size}


def _bars(names: Sequence[str], row: Row) -> str:
    shown = zip(names, row.values, row.ratios, strict=True)
    found = [
        Bar(name, value, f"{milliseconds(value)} ({ratio:.2f}x)")
        for name, value, ratio in shown
        if value is not None and ratio is not None
    ]
    return bars(found, f"{row.what}, {row.variant}")


def _table(names: Sequence[str], rows: Sequence[Row]) -> Table:
    """Values of the first report, ratios of the others."""
    table = Table(title=f"times faster, or smaller, than {names[0]}")
    table.add_column("variant")
    table.add_column("what")
    for name in (f"{names[0]}: ms, MB", *names[1:]):
        table.add_column(name, justify="right")
    for row in rows:
        scale = 1e-6 if row.what in (_MEMORY, _SIZE) else 1e3
        first = "" if row.values[0] is None else f"{row.values[0] * scale:.3g}"
        table.add_row(
            row.variant, row.what, first, *("" if r is None else f"{r:.2f}x" for r in row.ratios[1:])
        )
    return table

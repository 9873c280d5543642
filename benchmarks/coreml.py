"""Errors, sizes and pictures of the Core ML packages of a bundle, from what its manifest states: results/coreml.json and docs/coreml.md.

    python benchmarks/coreml.py out/coreml.fewstep [out/more.fewstep ...]

The result holds the commands that made the bundles, of which each may have a part of the precisions. The Frechet distances in the page are those of coreml_frechet.py, where it has run.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from facts import facts

from fewstep.bundle import Bundle
from fewstep.manifest import Manifest, Variant
from fewstep_export.config import Precision

RESULTS = Path(__file__).parent / "results"
RESULT, FRECHET = RESULTS / "coreml.json", RESULTS / "coreml_frechet.json"
PAGE = Path(__file__).parents[1] / "docs" / "coreml.md"
BEGIN, END = (
    "<!-- begin of the table by benchmarks/coreml.py -->",
    "<!-- end of the table by benchmarks/coreml.py -->",
)


def main(paths: Sequence[Path]) -> None:
    """Writes the result and the table of the page."""
    rows: dict[str, Mapping[str, float]] = {}
    made: list[Mapping[str, object]] = []
    for path in paths:
        opened = Bundle.open(path)
        opened.verify()
        manifest = opened.manifest
        rows |= {v.precision: measured(manifest, v) for v in manifest.variants if v.engine == "coreml"}
        provenance = manifest.provenance
        made.append({"command": provenance.command, "versions": dict(provenance.versions)})
    rows = {precision: rows[precision] for precision in get_args(Precision) if precision in rows}
    RESULT.write_text(
        json.dumps(
            {**facts("coremltools"), "bundle": manifest.name, "made": made, "precisions": rows}, indent=1
        )
        + "\n"
    )
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    runs = json.loads(FRECHET.read_text())["runs"] if FRECHET.exists() else []
    PAGE.write_text(
        "\n".join([head + BEGIN, *table(rows, runs), END + rest.partition(END)[2]]), encoding="utf-8"
    )


def measured(manifest: Manifest, variant: Variant) -> dict[str, float]:
    """Relative errors by component, the PSNR of the worst picture in dB if the export drew some, and the size in MB."""
    checks = variant.verification
    errors = {name: checks[name].max_abs_error / checks[name].output_scale for name in variant.components}
    size = sum(manifest.bytes_of(component) for component in variant.components.values())
    drawn = {"psnr": checks["pictures_emulated"].psnr or 0.0} if "pictures_emulated" in checks else {}
    return {**errors, **drawn, "megabytes": size / 1e6}


def table(rows: Mapping[str, Mapping[str, float]], runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table of docs/coreml.md; a column for every run of coreml_frechet.py."""
    names = [name for name in next(iter(rows.values())) if name not in ("psnr", "megabytes")]
    judged = [run for run in runs if run["n"] and run.get("only") is None]
    distances = [f"Frechet distance, {run['n']:,} pictures from seed {run['seed']:,}" for run in judged]
    head = ["precision", *names, "size", "pictures", "pictures, weights alone", *distances]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for precision, row in rows.items():
        found = [run["precisions"].get(precision, {}) for run in judged]
        cells = [
            precision,
            *(f"{row[name]:.1e}" for name in names),
            f"{row['megabytes']:.1f} MB",
            _told(row, "psnr", ".1f", " dB"),
            _told({k: v for one in found for k, v in one.items()}, "psnr", ".1f", " dB"),
            *(_told(one, "train", ".2f") for one in found),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _told(row: Mapping[str, float], key: str, form: str, unit: str = "") -> str:
    return f"{row[key]:{form}}{unit}" if key in row else "-"


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])

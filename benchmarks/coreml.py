"""Errors, sizes and pictures of the Core ML packages of a bundle, from what its manifest states: results/coreml.json and a table.

    python benchmarks/coreml.py out/coreml.fewstep

The result holds the command that made the bundle.
"""

import json
import sys
from pathlib import Path

from fewstep.bundle import Bundle
from fewstep.manifest import Manifest, Variant

RESULT = Path(__file__).parent / "results" / "coreml.json"


def main(path: Path) -> None:
    """Writes the result and prints the table."""
    opened = Bundle.open(path)
    opened.verify()
    manifest = opened.manifest
    rows = {v.precision: measured(manifest, v) for v in manifest.variants if v.engine == "coreml"}
    made = {"command": manifest.provenance.command, "versions": dict(manifest.provenance.versions)}
    RESULT.write_text(json.dumps({"bundle": manifest.name, **made, "precisions": rows}, indent=1) + "\n")
    print("\n".join(table(rows)))


def measured(manifest: Manifest, variant: Variant) -> dict[str, float]:
    """Relative errors by component, the PSNR of the worst picture in dB, and the size in MB."""
    checks = variant.verification
    errors = {name: checks[name].max_abs_error / checks[name].output_scale for name in variant.components}
    size = sum(manifest.bytes_of(component) for component in variant.components.values())
    return {**errors, "psnr": checks["pictures_emulated"].psnr or 0.0, "megabytes": size / 1e6}


def table(rows: dict[str, dict[str, float]]) -> list[str]:
    """The table of docs/coreml.md."""
    names = [name for name in next(iter(rows.values())) if name not in ("psnr", "megabytes")]
    head = [f"| precision | {' | '.join(names)} | pictures | size |", "|---" * (len(names) + 3) + "|"]
    return head + [
        f"| {precision} | {' | '.join(f'{row[name]:.1e}' for name in names)} | {row['psnr']:.1f} dB | {row['megabytes']:.1f} MB |"
        for precision, row in rows.items()
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))

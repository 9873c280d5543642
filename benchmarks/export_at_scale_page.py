"""Puts the results of export_at_scale.py and export_at_scale_command.py into docs/export-at-scale.md.

python benchmarks/export_at_scale_page.py
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/export-at-scale.md"
_FILES = {
    "export_at_scale": "export_at_scale",
    "export_at_scale_command": "export_at_scale_command",
    "export_at_scale_packages": "export_at_scale_command",
}
RESULTS = {name: ROOT / f"benchmarks/results/{file}.json" for name, file in _FILES.items()}
Rows = Sequence[Mapping[str, Any]]


def sides(rows: Rows) -> str:
    """Our side beside that of optimum-onnx, as a table in Markdown."""
    lines = [
        "| network | weights, FP32 | tool | wall time | of which export | peak memory | over the weights | forecast | error / scale |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    ours = [row for row in rows if row["tool"] == "fewstep"]
    peers = {row["case"]: row for row in rows if row["tool"] == "optimum-onnx"}
    for row in ours:
        weights, peer = row["weight_bytes"], peers[row["case"]]
        error = row["max_abs_error"] / row["output_scale"]
        lines += [
            f"| {row['case']} | {weights / 1e9:.2f} GB {_side(row, weights)} | {row['forecast_bytes'] / 1e9:.2f} GB | {error:.1e} |",
            f"| | {_side(peer, weights)} | | |",
            f"| | | ratio | {_ratio(row, peer, 'seconds')} | {_ratio(row, peer, 'export_seconds')} | {_ratio(row, peer, 'peak_bytes')} | | | |",
        ]
    return "\n".join(lines)


def _side(row: Mapping[str, Any], weights: int) -> str:
    peak = row["peak_bytes"]
    return (
        f"| {row['tool']} | {row['seconds']:.0f} s | {row['export_seconds']:.0f} s | {peak / 1e9:.2f} GB "
        f"| {peak / weights:.2f} x"
    )


def _ratio(row: Mapping[str, Any], peer: Mapping[str, Any], key: str) -> str:
    return f"{row[key] / peer[key]:.2f}"


def command(rows: Rows) -> str:
    """What the command forecast and took for the denoiser, as a table in Markdown."""
    lines = [
        "| network | precisions | wall time | peak memory | over the weights | forecast | torch | export | check | FP16 export | FP16 check |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["precisions"] != "coreml":
            precisions = "FP32" if row["precisions"] == "fp32" else "FP32 and FP16"
            cells = _stages(row, ("torch", "fp32", "fp32-check", "fp16", "fp16-check"))
            lines.append(f"| {row['case']} | {precisions} | {_whole(row)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def packages(rows: Rows) -> str:
    """The same of exports to Core ML, with the stages of the packages."""
    lines = [
        "| network | wall time | peak memory | over the weights | forecast | FP32 package | check | FP16 package | check |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    names = ("coreml-fp32", "coreml-fp32-check", "coreml-fp16", "coreml-fp16-check")
    measured = [row for row in rows if row["precisions"] == "coreml"]
    if not measured:
        return "Not measured yet (`python benchmarks/export_at_scale_command.py --precisions coreml`)."
    lines += [f"| {row['case']} | {_whole(row)} | {' | '.join(_stages(row, names))} |" for row in measured]
    return "\n".join(lines)


def _whole(row: Mapping[str, Any]) -> str:
    return f"{row['seconds']:.0f} s | {row['peak_gb']:.2f} GB | {row['peak_over_weights']:.2f} x | {row['forecast_gb']:.2f} GB"


def _stages(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Time and peak memory of the denoiser's stages."""
    stages = [row["stages"].get(f"denoiser-{name}") for name in names]
    return [f"{stage['seconds']:.0f} s, {stage['peak_gb']:.2f} GB" if stage else "" for stage in stages]


TABLES = {"export_at_scale": sides, "export_at_scale_command": command, "export_at_scale_packages": packages}


def page_with(text: str, name: str, rows: Rows) -> str:
    """The page with another table of that name."""
    begin, end = f"<!-- begin of the table {name} -->", f"<!-- end of {name} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{TABLES[name](rows)}\n{end}{after}"


def main() -> None:
    """Writes the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, path in RESULTS.items():
        text = page_with(text, name, json.loads(path.read_text(encoding="utf-8"))["rows"])
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Every family of diffusers pipelines through the export, and its pictures beside those of the pipeline itself.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 python benchmarks/checkpoint_matrix.py [CASE ...]

The pipelines are of the real classes, tiny and with random weights (tests/export/checkpoints/tiny_pipelines.py). A case is
exported in FP32 (.onnx and .ort) and FP16; its bundle draws two prompts, and the pipeline draws them from the same noise.
Writes results/checkpoint_matrix.json, case by case, and the table of docs/checkpoints.md.
"""

import json
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.manifest import Variant
from fewstep_export.config import ExportConfig, Precision
from fewstep_export.exporter import export

ROOT = Path(__file__).parents[1]
RESULT, PAGE = ROOT / "benchmarks/results/checkpoint_matrix.json", ROOT / "docs/checkpoints.md"
BEGIN, END = "<!-- begin of the table by benchmarks/checkpoint_matrix.py -->", "<!-- end of the table -->"
PACKAGES = ("diffusers", "transformers", "torch", "onnx", "onnxruntime")
sys.path.insert(0, str(ROOT / "tests/export/checkpoints"))


def measure(name: str) -> dict[str, object]:
    """Exports a case and says how far every variant is from torch and from the pipeline."""
    from tiny_pipelines import CASES, Case

    case: Case = CASES[name]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source, begin = case.build(Path(folder)), time.perf_counter()
        found: dict[str, object] = {"family": case.family}
        try:
            variants = _export(case, source, Path(folder) / "tiny.fewstep", ("fp32", "fp16"))
        except FewstepError as error:
            found["fp16_refused"] = str(error)
            variants = _export(case, source, Path(folder) / "tiny.fewstep", ("fp32",))
        return {**found, "seconds": round(time.perf_counter() - begin, 1), "variants": variants}


def _export(case: Any, source: Path, output: Path, precisions: tuple[Precision, ...]) -> dict[str, object]:
    config = ExportConfig(
        str(source), output, precisions=precisions, steps=case.steps, size=case.size, compare=True
    )
    return {
        variant.name: _facts(variant, output) for variant in Bundle.open(export(config)).manifest.variants
    }


def _facts(variant: Variant, output: Path) -> dict[str, object]:
    checks = variant.verification
    errors = {name: checks[name].max_abs_error / checks[name].output_scale for name in variant.components}
    pictures = {name: check.psnr for name, check in checks.items() if check.psnr is not None}
    size = sum((output / component.file).stat().st_size for component in variant.components.values())
    return {"relative_error": errors, "psnr_db": pictures, "bytes": size}


def table(cases: Mapping[str, Mapping[str, Any]]) -> str:
    """The results as a table in Markdown."""
    head = "| family | export | ONNX Runtime, error | `.ort`, error | pictures, FP32 | pictures, `.ort` | pictures, FP16 |"
    rows = [head, "|---|---|---|---|---|---|---|"]
    for case in cases.values():
        variants = case["variants"]
        onnx, ort = (f"{max(variants[v]['relative_error'].values()):.0e}" for v in ("fp32", "fp32-ort"))
        pictures = [variants[v]["psnr_db"]["pictures_pipeline"] for v in ("fp32", "fp32-ort")]
        if "fp16" in variants:
            pictures.append(variants["fp16"]["psnr_db"]["pictures_emulated_pipeline"])
        decibels = [f"{psnr:.0f} dB" for psnr in pictures] + ["refused"] * (3 - len(pictures))
        rows.append(f"| {case['family']} | yes | {onnx} | {ort} | {' | '.join(decibels)} |")
    return "\n".join(rows)


def page_with(text: str, rows: str) -> str:
    """The page with another table."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{rows}\n{END}{after}"


def main() -> None:
    """Measures the cases of the command line, or all, and writes after each."""
    from tiny_pipelines import CASES

    torch.set_num_threads(1)
    facts: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {"cases": {}}
    for name in sys.argv[1:] or CASES:
        facts["cases"][name] = measure(name)
        facts["cases"] = {key: facts["cases"][key] for key in CASES if key in facts["cases"]}
        facts |= {
            "what": "relative_error: largest difference from torch over the largest output, by component; psnr_db: worst picture, "
            "`pictures` against torch in the runtime's loop, `..._pipeline` against the diffusers pipeline on the same noise, "
            "`..._emulated` with every tensor rounded to FP16; bytes: of the graphs; seconds: of the export with all checks",
            "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
            "device": f"{platform.machine()} CPU",
            "threads": torch.get_num_threads(),
            "date": datetime.now(UTC).date().isoformat(),
            "command": "OMP_NUM_THREADS=1 python benchmarks/checkpoint_matrix.py",
        }
        RESULT.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        print(name, json.dumps(facts["cases"][name]))
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), table(facts["cases"])), encoding="utf-8")


if __name__ == "__main__":
    main()

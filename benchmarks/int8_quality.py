"""Builds of one bundle by the distances and scores of `fewstep evaluate`, in one file.

    fewstep evaluate emoji-web.fewstep --variant fp32 --n 1150 --split held-out --json fp32.json    # and so for every build
    python benchmarks/int8_quality.py fp32.json int8.json

The first report is the reference. All must be of the same prompts and seeds. Writes results/int8_quality.json.
"""

import json
import sys
from pathlib import Path
from typing import Any

from facts import facts

TARGET = Path(__file__).parent / "results" / "int8_quality.json"


def row(report: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    """Figures of a build, and by what part its Frechet distance and its text-image score differ from the reference's."""
    generated, first = report["generated"], reference["generated"]
    text, before = generated["text_image"]["all"], first["text_image"]["all"]
    return {
        "variant": report["generator"]["variant"],
        "frechet": generated["frechet"]["train"],
        "frechet_change": generated["frechet"]["train"] / first["frechet"]["train"] - 1,
        "kernel": generated["kernel"]["train"]["mean"],
        "score": text["similarity"],
        "score_interval": text["intervals"]["similarity"],
        "score_change": text["similarity"] / before["similarity"] - 1,
        "r1": text["r1"],
        "r1_interval": text["intervals"]["r1"],
    }


def main(files: list[str]) -> None:
    """Reads the reports, compares, writes."""
    reports = [json.loads(Path(file).read_text(encoding="utf-8")) for file in files]
    asked = [(report["config"], report["judges"], report["generator"]["step_table"]) for report in reports]
    if any(one != asked[0] for one in asked):
        sys.exit("expected reports of the same prompts, judges and steps, found others; evaluate again")
    result = {
        **facts("onnxruntime", "numpy"),
        "model": reports[0]["generator"],
        "config": reports[0]["config"],
        "rows": [row(report, reports[0]) for report in reports],
    }
    TARGET.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

"""What it costs to draw FP32's own pictures in 8 bits: PSNR on the same noise, size and speed of INT8 builds of one bundle.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/int8_fidelity.py likeness emoji-web.fewstep --report int8-psnr-30.json
    OMP_WAIT_POLICY=PASSIVE python benchmarks/int8_fidelity.py times emoji-web.fewstep

The bundle gets those of the builds that it lacks, so give a copy. Prompts are captions that neither training nor calibration has seen, half of new
things, half of known ones in new styles. A report is that of `fewstep evaluate emoji-web.fewstep --variant int8-psnr-30 --n 1150 --split held-out`;
FP32's stands in results/int8_quality.json. Times want a quiet machine. Either command writes its part of results/int8_fidelity.json.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from facts import facts

from fewstep.bench.quiet import Load, marks
from fewstep.bundle import Bundle
from fewstep.manifest import Manifest
from fewstep.pipeline import Pipeline
from fewstep_distillation.data.captions import canonical_caption
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_quantization.command import quantize
from fewstep_quantization.config import Limits, QuantizeConfig
from fewstep_quantization.explain import INTEGER
from fewstep_quantization.graph import load
from fewstep_quantization.measure import SEED, Comparison, mean_interval, ratio_interval, rounds, size
from fewstep_quantization.pictures import Pictures, psnr
from fewstep_quantization.search import Budget

RESULTS = Path(__file__).parent / "results"
TARGET = RESULTS / "int8_fidelity.json"
FP32 = "fp32"
BUILDS: Mapping[str, Mapping[str, Any]] = {
    "int8-default": {},
    "int8-weight-noise-0.02": {"weight_noise": 0.02},
    "int8-max-noise-0.02": {"noise": 0.02},
    "int8-max-noise-0.01": {"noise": 0.01},
    "int8-max-error-0.02": {"budget": Budget(error=0.02)},
    "int8-max-error-0.01": {"budget": Budget(error=0.01)},
    "int8-psnr-29": {"limits": Limits(None, 29.0)},
    "int8-psnr-30": {"limits": Limits(None, 30.0)},
}
PARTS: Mapping[str, tuple[str, frozenset[str]]] = {
    **{f"int8-default, {c} alone": ("int8-default", frozenset({c})) for c in ("denoiser", "text_encoder", "decoder")},
    "int8-psnr-30, text encoder in FP32": ("int8-psnr-30", frozenset({"denoiser", "decoder"})),
}  # fmt: skip
"""Of which build which components are taken; the others are FP32's."""
TIMED = (*BUILDS, "int8-psnr-30, text encoder in FP32")


def build(path: Path) -> Bundle:
    """The bundle with all builds, and the mixtures of them in memory alone."""
    for name, options in BUILDS.items():
        if name not in (v.name for v in Bundle.open(path).manifest.variants):
            print(f"building {name}", flush=True)
            asked = {"limits": Limits(None), "force": True, "rounds": 3, **options}
            quantize(QuantizeConfig(path, "int8", name=name, **asked))
    bundle = Bundle.open(path)
    manifest = bundle.manifest
    for name, (of, parts) in PARTS.items():
        plain, quantised = manifest.variant(FP32).components, manifest.variant(of)
        components = {c: quantised.components[c] if c in parts else plain[c] for c in plain}
        variant = replace(quantised, name=name, components=components)
        manifest = replace(manifest, variants=(*manifest.variants, variant))
    return Bundle(bundle.root, manifest)


def unseen(dataset: EmojiDataset, manifest: Manifest, count: int) -> list[str]:
    """So many captions of what training has not seen, evenly apart, none among the bundle's own prompts."""
    known, found = {prompt.casefold() for prompt in manifest.prompts.in_styles()}, list[str]()
    for rows in (dataset.split("zero"), dataset.split("compose")):
        captions = dict.fromkeys(canonical_caption(dataset.rows[row]) for row in rows)
        new = [caption for caption in captions if caption.casefold() not in known]
        found += new[:: len(new) // (count // 2)][: count // 2]
    return found


def draw(bundle: Bundle, variant: str, prompts: Sequence[str]) -> Pictures:
    """A picture a prompt, each from noise of its own."""
    pipeline = Pipeline(bundle, variant)
    return np.concatenate([pipeline.generate_array([p], [SEED + k]) for k, p in enumerate(prompts)])


def products(bundle: Bundle, variant: str) -> dict[str, int]:
    """Layers of the denoiser that multiply in integers, and those of them in two planes."""
    file = bundle.manifest.variant(variant).components["denoiser"].file
    names = [node.output[0] for node in load(bundle.file(file)).graph.node if node.op_type in INTEGER]
    planes = sum("_s8_plane" in name for name in names) // 2
    return {"layers_in_integers": len(names) - planes, "layers_in_two_planes": planes}


def speedups(bundle: Bundle, names: Sequence[str], comparison: Comparison, threads: int) -> dict[str, Any]:
    """Of every build over the first, whole pictures, medians of interleaved rounds of all with 95 % intervals; `marks` says what disturbed."""
    pipelines = [Pipeline(bundle, name, threads) for name in names]
    rounds(pipelines, replace(comparison, rounds=1))
    before = Load.now()
    times = rounds(pipelines, comparison)
    return {"marks": marks(before, Load.now(), threads)} | {
        name: {
            "ms": round(1000 * median(own), 1),
            "speedup": round(median(times[0]) / median(own), 3),
            "interval": ratio_interval(times[0], own),
        }
        for name, own in zip(names, times, strict=True)
    }


def judged(report: Mapping[str, Any]) -> dict[str, Any]:
    """The Frechet distance and the score of a report beside FP32's."""
    quality = json.loads((RESULTS / "int8_quality.json").read_text(encoding="utf-8"))
    if quality["config"] != report["config"] or quality["rows"][0]["variant"] != FP32:
        raise SystemExit(
            f"expected a report of {quality['config']}, found one of {report['config']}; evaluate again"
        )
    generated, first = report["generated"], quality["rows"][0]
    frechet, score = generated["frechet"]["train"], generated["text_image"]["all"]["similarity"]
    return {
        "variant": report["generator"]["variant"],
        "frechet": frechet,
        "frechet_change": frechet / first["frechet"] - 1,
        "kernel": generated["kernel"]["train"]["mean"],
        "score": score,
        "score_change": score / first["score"] - 1,
        "r1": generated["text_image"]["all"]["r1"],
    }  # fmt: skip


def likeness(bundle: Bundle, prompts: Sequence[str], reports: Sequence[Path]) -> dict[str, Any]:
    """PSNR to FP32 of every build and mixture, its size, its layers; and what the reports say."""
    expected, rows = draw(bundle, FP32, prompts), list[dict[str, Any]]()
    for name in [*BUILDS, *PARTS]:
        decibels = psnr(draw(bundle, name, prompts), expected)
        compared = Comparison(name, FP32, prompts, bundle.step_table(None, None), 0)
        figures = {
            "build": name,
            "psnr_mean": round(fmean(decibels), 2),
            "psnr_interval": mean_interval(decibels),
            "psnr_median": round(median(decibels), 2),
            "psnr_worst": round(min(decibels), 2),
            "size": size(bundle.manifest, compared),
        }
        rows.append({**figures, **products(bundle, name)})
        print(rows[-1], flush=True)
    judgements = [judged(json.loads(path.read_text(encoding="utf-8"))) for path in reports]
    return {"pictures": len(prompts), "rows": rows, "judged": judgements}


def main() -> None:
    """Reads the options, builds, draws or times, and puts that into the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("likeness", "times"))
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data/emoji-128"))
    parser.add_argument("--report", type=Path, action="append", default=[])
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    bundle = build(options.bundle)
    prompts = unseen(EmojiDataset(options.data), bundle.manifest, options.pictures)
    if options.what == "likeness":
        found = likeness(bundle, prompts, options.report)
    else:
        comparison = Comparison("", FP32, prompts, bundle.step_table(None, None), options.rounds)
        times = {str(n): speedups(bundle, [FP32, *TIMED], comparison, n) for n in (1, 2)}
        found = {"rounds": options.rounds, "by_threads": times}
    result = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
    result[options.what] = {**facts("onnxruntime", "numpy"), "bundle": bundle.manifest.name, **found}
    TARGET.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The zoo's INT8 model in Chromium beside native ONNX Runtime, in one run, interleaved; sizes over the wire.

    python benchmarks/web.py BUNDLE [--variant int8] [--runs 3] [--table NAME]

Writes results/web.json. Both draw the same prompt with the same noise; how far the pictures are apart is written beside the times.
Needs Chromium, `make apps`, and a bundle with that build (docs/quantization.md).
"""

import argparse
import json
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from fewstep.bench.device import this_device
from fewstep.bundle import Bundle
from fewstep.pipeline import Pipeline
from fewstep.records import to_json
from fewstep_apps.bench.server import Session, serve
from fewstep_apps.config import PackageConfig
from fewstep_apps.web.package import package_web

RESULT = Path(__file__).parent / "results" / "web.json"
PROMPT, SEED, TIMEOUT = "red heart, 3d style", 7, 300_000
FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def in_browser(page: Page, url: str, threads: int, runs: int) -> dict[str, Any]:
    """What the benchmark page reports; a first visit, with an empty cache."""
    begin = time.perf_counter()
    page.goto(url)
    expect(page.locator("#bench")).to_contain_text("first picture", timeout=TIMEOUT)
    to_picture = time.perf_counter() - begin
    expect(page.locator("#bench")).to_contain_text("may be closed", timeout=TIMEOUT)
    return {"threads": threads, "visit_to_first_picture_s": round(to_picture, 2), "runs": runs}


def decibels(page: Page, url: str, pipeline: Pipeline) -> float:
    """PSNR of the browser's downloaded picture against Python's, premultiplied."""
    page.goto(url)
    expect(page.locator("#go")).to_be_enabled(timeout=TIMEOUT)
    page.fill("#prompt", PROMPT)
    page.fill("#seed", str(SEED))
    page.uncheck("#preview")
    page.click("#go")
    expect(page.locator("#download")).to_be_enabled(timeout=TIMEOUT)
    with page.expect_download() as download:
        page.click("#download")
    found, expected = (
        _premultiplied(picture)
        for picture in (Image.open(download.value.path()), pipeline.generate(PROMPT, SEED))
    )
    return float(-10 * np.log10(np.mean((found - expected) ** 2)))


def _premultiplied(picture: Image.Image) -> npt.NDArray[np.float64]:
    rgba = np.asarray(picture.convert("RGBA"), dtype=np.float64) / 255
    rgba[..., :3] *= rgba[..., 3:]
    return rgba


def native(pipeline: Pipeline, threads: int, runs: int) -> dict[str, Any]:
    """The same drawings by ONNX Runtime in Python."""
    first = time.perf_counter()
    pipeline.generate(PROMPT, SEED)
    first = time.perf_counter() - first
    totals, steps = [], []
    for k in range(runs):
        pipeline.generate(PROMPT, SEED + k)
        totals.append(pipeline.timings.total)
        steps += pipeline.timings.calls["denoiser"]
    return {"threads": threads, "first_s": round(first, 3), **_figures(totals, steps)}


def _figures(totals: list[float], steps: list[float]) -> dict[str, float]:
    return {
        "picture_s": round(median(totals), 3),
        "step_ms": round(1e3 * median(steps), 1),
        "steps_per_s": round(1 / median(steps), 2),
    }


def main() -> None:
    """Runs native and browser in turn for 1 and 2 threads, and writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        config = PackageConfig(options.bundle, "web", Path(temporary) / "site", (options.variant,))
        package = package_web(config)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for threads in (1, 2):
            pipeline = Pipeline(bundle, options.variant, threads)
            measured = native(pipeline, threads, options.runs)
            results.append({"where": "native", **measured})
            job = {"prompt": PROMPT, "seed": SEED, "warmup": 1, "runs": options.runs, "sustained_s": 0}
            session = Session({**job, "threads": threads, "backend": "wasm"})
            with serve(package.output, session, "127.0.0.1") as port:
                page = browser.new_context().new_page()
                told = in_browser(
                    page, f"http://localhost:{port}/?bench={session.token}", threads, options.runs
                )
                query = f"?backend=wasm&threads={threads}"
                told["psnr_db"] = round(decibels(page, f"http://localhost:{port}/{query}", pipeline), 1)
                page.context.close()
            (report,) = session.reports.values()
            assert report.state == "done", report.error
            assert report.build is not None and report.first is not None and report.build.threads == threads
            totals = [run.ms / 1e3 for run in report.runs]
            steps = [ms / 1e3 for run in report.runs for ms in run.calls["denoiser"]]
            result = {"where": "Chromium, WebAssembly", "first_s": round(report.first.ms / 1e3, 3), **told}
            results.append(
                {**result, "load_s": round(report.build.load_ms / 1e3, 2), **_figures(totals, steps)}
            )
        version = browser.version
    value = {
        "command": f"python benchmarks/web.py {options.bundle.name} --variant {options.variant} --runs {options.runs}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": to_json(this_device()),
        "chromium": version,
        "bundle": bundle.manifest.name,
        "variant": options.variant,
        "step_table": bundle.manifest.default_step_table,
        "first_load_bytes": package.first_load,
        "results": results,
    }
    RESULT.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

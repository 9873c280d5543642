"""The zoo's INT8 model in Chromium beside native ONNX Runtime, in one run, interleaved; sizes over the wire.

    python benchmarks/web.py BUNDLE [--variant int8] [--runs 3] [--rounds 3]

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
from playwright.sync_api import Browser, Page, expect, sync_playwright

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


def in_browser(
    browser: Browser, package: Path, pipeline: Pipeline, threads: int, options: argparse.Namespace
) -> dict[str, Any]:
    """What the benchmark page reports at a first visit, with an empty cache; and how far its picture is from Python's."""
    job = {"prompt": PROMPT, "seed": SEED, "warmup": 1, "runs": options.runs, "sustained_s": 0}
    session = Session({**job, "threads": threads, "backend": "wasm"})
    with serve(package, session, "127.0.0.1") as port:
        page = browser.new_context().new_page()
        begin = time.perf_counter()
        page.goto(f"http://localhost:{port}/?bench={session.token}")
        expect(page.locator("#bench")).to_contain_text("first picture", timeout=TIMEOUT)
        to_picture = time.perf_counter() - begin
        expect(page.locator("#bench")).to_contain_text("may be closed", timeout=TIMEOUT)
        psnr = decibels(page, f"http://localhost:{port}/?backend=wasm&threads={threads}", pipeline)
        page.context.close()
    (report,) = session.reports.values()
    assert report.state == "done", report.error
    assert report.build is not None and report.first is not None and report.build.threads == threads
    totals = [run.ms / 1e3 for run in report.runs]
    steps = [ms / 1e3 for run in report.runs for ms in run.calls["denoiser"]]
    return {
        "visit_to_first_picture_s": to_picture,
        "load_s": report.build.load_ms / 1e3,
        "first_s": report.first.ms / 1e3,
        "psnr_db": psnr,
        **_figures(totals, steps),
    }


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


def native(pipeline: Pipeline, runs: int) -> dict[str, Any]:
    """The same drawings by ONNX Runtime in Python."""
    pipeline.generate(PROMPT, SEED)
    first, totals, steps = pipeline.timings.total, [], []
    for k in range(runs):
        pipeline.generate(PROMPT, SEED + k)
        totals.append(pipeline.timings.total)
        steps += pipeline.timings.calls["denoiser"]
    return {"first_s": first, **_figures(totals, steps)}


def _figures(totals: list[float], steps: list[float]) -> dict[str, float]:
    return {
        "picture_s": median(totals),
        "step_ms": 1e3 * median(steps),
        "steps_per_s": 1 / median(steps),
    }


def over_rounds(where: str, threads: int, rounds: list[dict[str, float]]) -> dict[str, Any]:
    """The median of every figure, and the lowest and the highest time of a step as a sign of how quiet the machine was."""
    steps = [figures["step_ms"] for figures in rounds]
    values = {name: round(median(figures[name] for figures in rounds), 3) for name in rounds[0]}
    spread = [round(min(steps), 1), round(max(steps), 1)]
    return {"where": where, "threads": threads, "rounds": len(rounds), **values, "step_ms_of_rounds": spread}


def first_load(package: Path) -> dict[str, int]:
    """Bytes over the wire of every file of the package."""
    files = json.loads((package / "app.json").read_text(encoding="utf-8"))["files"]
    return {name: sum(part["bytes"] for part in file["parts"]) for name, file in files.items()}


def main() -> None:
    """Runs native and browser in turn for 1 and 2 threads, and writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        config = PackageConfig(options.bundle, "web", Path(temporary) / "site", (options.variant,))
        package = package_web(config)
        files = first_load(package.output)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        pipelines = {threads: Pipeline(bundle, options.variant, threads) for threads in (1, 2)}
        for _ in range(options.rounds):
            for threads, pipeline in pipelines.items():
                found.setdefault(("native", threads), []).append(native(pipeline, options.runs))
                told = in_browser(browser, package.output, pipeline, threads, options)
                found.setdefault(("Chromium, WebAssembly", threads), []).append(told)
        version = browser.version
    words = f"--variant {options.variant} --runs {options.runs} --rounds {options.rounds}"
    value = {
        "command": f"python benchmarks/web.py {options.bundle.name} {words}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": to_json(this_device()),
        "chromium": version,
        "bundle": bundle.manifest.name,
        "variant": options.variant,
        "step_table": bundle.manifest.default_step_table,
        "first_load_bytes": package.first_load,
        "files_bytes": files,
        "results": [over_rounds(where, threads, rounds) for (where, threads), rounds in found.items()],
    }
    RESULT.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

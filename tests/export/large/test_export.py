"""Diffusers folders exported one component at a time, through the command."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from time import monotonic, sleep
from types import ModuleType

import pytest
from accelerate import init_empty_weights
from PIL import Image
from safetensors.torch import load_file
from tests.export.checkpoints.test_diffusers import NAMES
from tests.export.checkpoints.test_lora import lora  # noqa: F401 - a fixture
from transformers import CLIPTextConfig, CLIPTextModel

from fewstep.bundle import Bundle
from fewstep.errors import IntegrityError
from fewstep.pipeline import Pipeline
from fewstep.verification import verify_bundle
from fewstep_export.config import ExportConfig, Lora
from fewstep_export.exporter import export
from fewstep_export.large.check import check_graph, load_verification
from fewstep_export.large.child import in_child
from fewstep_export.large.component import Source, evaluate, write_graph
from fewstep_export.large.config import Large
from fewstep_export.large.forecast import forecast
from fewstep_export.large.half import check_half, write_half
from fewstep_export.parity import FP16_TOLERANCE, FP32_TOLERANCE
from fewstep_export.picture_loop import Pictures, psnr

Checkpoint = Callable[[str], Path]
SECONDS = 600  # of patience with a busy machine


def command(source: Path, output: Path, *options: object) -> list[str]:
    options = ("--large-from", 0, "--precision", "fp32", "--steps", 2, *options)
    return [sys.executable, "-m", "fewstep", "export", str(source), "-o", str(output), *map(str, options)]


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--compare"], "to draw no pictures, found --compare, for checkpoint; leave that out"),
        (["--hoist", "--unroll", 2], "to draw no pictures, found --hoist --unroll 2, for checkpoint"),
        (
            ["--target", "coreml", "--precision", "w8"],
            "expected fp32 or fp16 for an export of one component at a time, found w8",
        ),
        (["--large-from", -1], "expected a size of 0 GB or more, found -1.0; correct --large-from"),
    ],
)
def test_what_needs_the_whole_model_is_refused(
    options: list[object], message: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    result = run(checkpoint("sd1"), tmp_path / "x.fewstep", *options)
    assert result.returncode == 2
    assert message in result.stderr.strip().splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_more_than_this_machine_has_is_refused_before_anything_is_read(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """The text encoder takes 655 GB; their file is a hole."""
    folder = Path(shutil.copytree(checkpoint("sd1"), tmp_path / "huge"))
    _widen(folder / "text_encoder", intermediate_size=4 * 10**7, num_hidden_layers=64)
    result = run(folder, tmp_path / "x.fewstep")
    *forecasts, sentence = result.stderr.strip().splitlines()
    assert result.returncode == 2
    assert re.match(
        r"text_encoder: weights 66\d\.\d\d GB, peak memory about \d{3}\.\d\d GB \(export", forecasts[0]
    )
    assert re.search(r"expected a peak of at most .* this machine's memory, .* for text_encoder", sentence)
    assert not list(tmp_path.glob("*.fewstep*")) and not list(tmp_path.glob(".*"))


def _widen(part: Path, **changes: int) -> None:
    """Gives CLIP another configuration and FP16 weights; what the former ones do not fill is a hole in the file, which reads as zeros."""
    former = load_file(part / "model.safetensors")
    config = json.loads((part / "config.json").read_text()) | changes
    (part / "config.json").write_text(json.dumps(config))
    with init_empty_weights():
        shapes = {n: v.shape for n, v in CLIPTextModel(CLIPTextConfig(**config)).state_dict().items()}
    ends = list(accumulate(2 * shape.numel() for shape in shapes.values()))
    begins = dict(zip(shapes, [0, *ends], strict=False))
    text = json.dumps(
        {
            name: {"dtype": "F16", "shape": list(shape), "data_offsets": [begins[name], end]}
            for (name, shape), end in zip(shapes.items(), ends, strict=True)
        }
    ).encode()
    (part / "model.safetensors").unlink()  # which `former` still maps
    with (part / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, value in former.items():
            file.seek(8 + len(text) + begins[name])
            file.write(value.half().numpy().tobytes())
        file.truncate(8 + len(text) + ends[-1])


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Killed twice: while the denoiser is traced, and when all stages but the last check are there."""
    output, stages = tmp_path / "x.fewstep", tmp_path / ".x.fewstep.stages"
    for folder in ("denoiser-torch", "decoder-fp32"):
        _kill_when(lambda folder=folder: list(stages.glob(f"{folder}-*/stage.json")), checkpoint, output)  # type: ignore[misc]
        assert not output.exists()
    finished = {path.parent.name: path.stat().st_mtime_ns for path in stages.glob("*/stage.json")}
    (broken,) = stages.glob("text_encoder-fp32-check-*")
    (broken / "verification.json").write_text("{}")  # what has changed since is made again
    result = run(checkpoint("sd1"), output)
    assert result.returncode == 0, result.stderr
    kept = re.findall(r"^(\S+): kept from a run before$", result.stderr, re.MULTILINE)
    assert {"text_encoder-torch", "text_encoder-fp32", "denoiser-torch", "decoder-fp32"} <= set(kept)
    assert set(kept) == {name.rpartition("-")[0] for name in finished} - {"text_encoder-fp32-check"}
    made = re.findall(r"^(\S+): [\d.]+ s, peak memory [\d.]+ GB$", result.stderr, re.MULTILINE)
    assert "text_encoder-fp32-check" in made and len(kept) + len(made) == 9
    _check(output)
    assert {path.name for path in tmp_path.iterdir()} == {"x.fewstep"}
    straight = tmp_path / "straight.fewstep"
    assert run(checkpoint("sd1"), straight).returncode == 0
    assert Bundle.open(straight).manifest.files == Bundle.open(output).manifest.files


def _kill_when(ready: Callable[[], object], checkpoint: Checkpoint, output: Path) -> None:
    """Starts an export and kills it, its children left to themselves, as soon as something is there."""
    process = subprocess.Popen(
        command(checkpoint("sd1"), output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = monotonic() + SECONDS
    while not ready():
        assert process.poll() is None and monotonic() < end
        sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def _check(bundle: Path) -> None:
    """The bundle is whole, verified, and draws."""
    opened = Bundle.open(bundle)
    opened.verify()
    (variant,) = opened.manifest.variants
    assert set(variant.verification) == set(variant.components) == {"text_encoder", "denoiser", "decoder"}
    assert all(v.max_abs_error <= v.tolerance for v in variant.verification.values())
    assert {f"ort/fp32/{name}.onnx.data" for name in variant.components} <= opened.manifest.files.keys()
    assert opened.manifest.bytes_of(variant.network) > 900_000
    assert isinstance(Pipeline(bundle).generate("a red heart"), Image.Image)


@pytest.mark.slow
def test_other_options_make_new_stages_and_a_whole_bundle_is_kept(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    output, stages = tmp_path / "x.fewstep", tmp_path / ".x.fewstep.stages"
    _kill_when(lambda: list(stages.glob("text_encoder-torch-*/stage.json")), checkpoint, output)
    assert run(checkpoint("sd1"), output, "--guidance", 2).stderr.count("kept from a run before") == 0
    before = (output / "manifest.json").stat().st_mtime_ns
    result = run(checkpoint("sd1"), output, "--guidance", 2)
    assert result.returncode == 0 and "peak memory" in result.stderr and "-torch" not in result.stderr
    assert (output / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_it_draws_what_the_whole_model_draws_with_a_lora(
    checkpoint: Checkpoint, tmp_path: Path, lora: Path  # noqa: F811
) -> None:  # fmt: skip
    def picture(threshold: float, variant: str) -> Pictures:
        output = tmp_path / f"{threshold:g}.fewstep"
        config = ExportConfig(
            str(checkpoint("sd1")), output, steps=2, loras=(Lora(lora, 0.7),), large=Large(threshold)
        )
        pipeline = Pipeline(export(config), variant)
        return pipeline.generate_array(["a red heart"], [0], pipeline.bundle.step_table())

    assert psnr(picture(0.0, "fp32"), picture(1.0, "fp32")) > 100
    assert psnr(picture(0.0, "fp16"), picture(1.0, "fp16")) > 100
    data = tmp_path / "0.fewstep/ort/fp32/denoiser.onnx.data"
    values = bytearray(data.read_bytes())
    values[1000] ^= 1
    data.write_bytes(values)
    with pytest.raises(IntegrityError, match=r"in .*denoiser\.onnx\.data; the file was changed"):
        Pipeline(tmp_path / "0.fewstep")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_family_goes_this_way(
    name: str, checkpoint: Checkpoint, tiny_pipelines: ModuleType, tmp_path: Path
) -> None:  # fmt: skip
    """The steps of the children, in this process."""
    case, encoded = tiny_pipelines.CASES[name], None
    source = Source(ExportConfig(str(checkpoint(name)), tmp_path / "x", steps=case.steps, size=case.size))
    for component in source.open().generator.components:
        cases, graphs, half = (tmp_path / f"{component.name}-{stage}" for stage in ("torch", "fp32", "fp16"))
        for folder in (cases, graphs, half):
            folder.mkdir()
        evaluate(source, component.name, encoded, cases)
        encoded = cases if component.name == "text_encoder" else encoded
        write_graph(source, component.name, cases, graphs)
        check_graph(graphs / f"{component.name}.onnx", cases, FP32_TOLERANCE, graphs)
        write_half(graphs / f"{component.name}.onnx", cases, half)
        check_half(half / f"{component.name}.onnx", cases, FP16_TOLERANCE, graphs)
        assert load_verification(graphs).output_scale > 0


@pytest.mark.slow
def test_the_forecast_is_what_the_processes_take(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """With a gigabyte of words."""
    folder = Path(shutil.copytree(checkpoint("sd1"), tmp_path / "wide"))
    _widen(folder / "text_encoder", vocab_size=8 * 10**6)
    source, cases, graphs = (
        Source(ExportConfig(str(folder), tmp_path / "x")),
        tmp_path / "cases",
        tmp_path / "graphs",
    )
    expected = forecast(source.open())["text_encoder"]
    for path in (cases, graphs):
        path.mkdir()
    torch = in_child("torch", evaluate, source, "text_encoder", None, cases).peak_bytes
    export = in_child("export", write_graph, source, "text_encoder", cases, graphs).peak_bytes
    check = in_child(
        "check", check_graph, graphs / "text_encoder.onnx", cases, FP32_TOLERANCE, graphs
    ).peak_bytes
    assert 0.6 * expected.reference < torch <= expected.reference
    assert 0.3 * expected.export < export <= expected.export
    assert check <= expected.check  # ONNX Runtime maps the words, and reads those of the prompts


@pytest.mark.slow
def test_packages_for_core_ml(checkpoint: Checkpoint, tmp_path: Path) -> None:
    output = tmp_path / "x.fewstep"
    result = run(checkpoint("sd1"), output, "--target", "ort", "--target", "coreml", "--precision", "fp16")
    assert result.returncode == 0, result.stderr
    assert re.search(r"denoiser: weights .*, Core ML \d\.\d\d GB\)", result.stderr)
    assert re.search(r"denoiser-coreml-fp32-check: [\d.]+ s, peak memory", result.stderr)
    opened = Bundle.open(output)
    assert [v.name for v in opened.manifest.variants] == ["fp32", "fp16", "coreml-fp32", "coreml-fp16"]
    found = [finding for finding in verify_bundle(opened) if finding.variant.startswith("coreml")]
    assert len(found) == 6 and all(finding.ok and (finding.error or 0) > 0 for finding in found)

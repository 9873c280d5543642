"""`fewstep export --hoist --fuse-step --unroll 4`, then `fewstep generate` and `fewstep bench`, each in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewstep.bundle import Bundle
from fewstep_export.components import Generator
from fewstep_export.loop_forms.verify import MINIMUM_PSNR_HOST
from fewstep_export.onnx_export import Graphs, to_bytes

STEPS = 4
FORMS = {
    "fp32": "host",
    "fp32-hoisted": "host, hoisted",
    "fp32-hoisted-fused": "fused, hoisted",
    "fp32-unrolled": "unrolled",
}


def fewstep(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fewstep", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def described(tiny: Generator, graphs: Graphs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as graphs with a description: a checkpoint that needs no download."""
    folder = tmp_path_factory.mktemp("described")
    for name, graph in graphs.items():
        (folder / f"{name}.onnx").write_bytes(to_bytes(graph.model))
    (folder / "words.json").write_text(tiny.tokenizers[0].content)
    names = {
        component.name: {
            "file": f"{component.name}.onnx",
            "inputs": {name: name for name in component.inputs},
            "outputs": {name: name for name in component.outputs},
        }
        for component in tiny.components
    }
    description = {
        "name": "described",
        "graphs": names,
        "tokenizers": [{"file": "words.json", "max_length": 8}],
        "sampling": {"prediction": "flow", "sampler": "flow-dpm++2m", "steps": 6, "shift": 3.0},
        "guidance": {"scale": 30.0},  # so large that both branches show
        "latent": {
            "shape": list(tiny.latent.shape),
            "scale": list(tiny.latent.scale),
            "shift": list(tiny.latent.shift),
        },
        "image": {"size": 32, "channels": "RGBA", "alpha": "premultiplied"},
    }
    (folder / "described.json").write_text(json.dumps(description))
    return folder / "described.json"


@pytest.fixture(scope="module")
def forms(described: Path) -> Path:
    """The bundle with every form, its default table of 6 steps."""
    bundle = described.with_name("described.fewstep")
    flags = ["--hoist", "--fuse-step", "--unroll", STEPS]
    result = fewstep("export", described, "--precision", "fp32", *flags, "-o", bundle)
    assert result.returncode == 0, result.stderr
    assert "variant fp32-hoisted-fused: onnxruntime, fp32, loop: fused, hoisted" in result.stdout
    return bundle


def picture(bundle: Path, variant: str, *options: object) -> np.ndarray:
    """The pixels that `fewstep generate` writes."""
    file = bundle.with_name(f"{variant}.png")
    result = fewstep("generate", bundle, "a red heart", "--variant", variant, "-o", file, "--json", *options)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["loop"], told["step_table"]) == (FORMS[variant], f"flow-dpm++2m-{STEPS}")
    with Image.open(file) as image:
        return np.array(image, dtype=np.int16)


def test_every_form_draws_the_picture_of_the_host_loop(forms: Path) -> None:
    expected = picture(forms, "fp32", "--steps", STEPS)
    assert np.abs(picture(forms, "fp32", "--steps", STEPS, "--guidance", 1) - expected).max() > 4
    for variant in ("fp32-hoisted", "fp32-hoisted-fused"):
        assert np.abs(picture(forms, variant, "--steps", STEPS) - expected).max() <= 1
    assert np.abs(picture(forms, "fp32-unrolled") - expected).max() <= 1


def test_the_manifest_says_form_bound_and_signature(forms: Path) -> None:
    manifest = Bundle.open(forms).manifest
    assert {variant.name: variant.form for variant in manifest.variants} == FORMS | {"fp32-ort": "host"}
    assert manifest.default_variant == "fp32" and manifest.default_step_table == "flow-dpm++2m-6"
    assert manifest.variant("fp32-unrolled").loop.step_table == "flow-dpm++2m-4"
    assert manifest.provenance.options["unroll"] == STEPS
    assert "--hoist --fuse-step --unroll 4" in manifest.provenance.command
    for name in list(FORMS)[1:]:
        assert (manifest.variant(name).verification["pictures_host"].psnr or 0) >= MINIMUM_PSNR_HOST
    base, fused = (manifest.variant(name).components for name in ("fp32", "fp32-hoisted-fused"))
    assert base["decoder"] == fused["decoder"]  # one file for both


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["fp32-unrolled", "--steps", 6],
            "expected the step table flow-dpm++2m-4, which variant 'fp32-unrolled' holds, found flow-dpm++2m-6",
        ),
        (["fp32-unrolled", "--sequential"], "expected batched guidance, which is inside the graph"),
        (["fp32-hoisted-fused", "--sequential"], "expected batched guidance, which is inside the graph"),
        (
            ["fp32-hoisted-fused", "--sampler", "flow-lms4", "--steps", 9],
            "expected a step table that keeps at most 3 arrays, found 4, in flow-lms4-9",
        ),
    ],
)
def test_what_is_not_inside_the_graph_is_refused(
    forms: Path, tmp_path: Path, options: list[object], sentence: str
) -> None:
    file = tmp_path / "x.png"
    result = fewstep("generate", forms, "a red heart", "-o", file, "--variant", *options)
    assert result.returncode == 2 and sentence in result.stderr, result.stderr
    assert not file.exists()


def test_the_benchmark_tells_the_forms_apart(forms: Path) -> None:
    variants = [option for name in FORMS for option in ("--variant", name)]
    result = fewstep("bench", forms, *variants, "--runs", 1, "--warmup", 0, "--json", "-")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["settings"]["step_table"] == "flow-dpm++2m-4"  # that of the unrolled graph
    assert {variant["name"]: variant["loop"] for variant in report["variants"]} == FORMS
    graphs = [[part["component"] for part in variant["components"]] for variant in report["variants"]]
    assert graphs[2] == ["text_encoder", "prompt", "fused_step", "decoder"]
    assert graphs[3] == ["text_encoder", "unrolled"]

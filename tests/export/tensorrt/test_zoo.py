"""The zoo model as engines, by the command's own function."""

from pathlib import Path

import numpy as np
import pytest

from fewstep.bundle import Bundle
from fewstep.tensorrt.config import BuildConfig
from fewstep_export.components import Component
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export
from fewstep_export.onnx_export import export_component
from fewstep_export.targets.ort import to_fp16
from fewstep_export.targets.tensorrt import write_engine
from fewstep_export.tensorrt.audit import unfused_attention, wide_int64
from fewstep_models.checkpoint import Checkpoint
from fewstep_models.zoo import resolve

pytest.importorskip("tensorrt_rtx", reason="the extra [tensorrt] is not installed")


@pytest.mark.slow
def test_the_zoo_model_becomes_engines(tmp_path: Path) -> None:
    config = ExportConfig("emoji-128", tmp_path / "x.fewstep", ("tensorrt",), ("fp16", "int8", "fp8"))
    manifest = Bundle.open(export(config)).manifest
    psnr = {v.precision: v.verification["pictures_emulated"].psnr or 0 for v in manifest.variants}
    assert psnr["fp16"] > 45 and psnr["int8"] > 20 and psnr["fp8"] > 14  # measured: 52.2, 24.9, 16.8 dB
    half, eight = (
        manifest.bytes_of(v.components["denoiser"]) for v in (manifest.variants[0], manifest.variants[1])
    )
    assert eight < half


@pytest.mark.slow
def test_every_attention_to_the_text_is_one_kernel(tmp_path: Path) -> None:
    denoiser = Checkpoint.load(resolve("emoji-128")).denoiser
    shapes = {"latents": (2, 8, 16, 16), "timestep": (2,), "text_states": (2, 32, 384), "text_mask": (2, 32)}
    feeds = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    component = Component("denoiser", denoiser, tuple(shapes), ("velocity",))
    built = write_engine(
        to_fp16(export_component(component, feeds).model), "denoiser", tmp_path / "x.engine", BuildConfig()
    )
    assert sum(layer.kind == "SOFTMAX" for layer in built.layers) == 10  # one a block
    assert unfused_attention(built) == []
    assert wide_int64(built.layers) == []

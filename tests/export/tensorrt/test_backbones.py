"""Engines of every denoiser that the project knows, in FP16, INT8 and FP8, with nothing fallen back to FP32."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from tests.tiny_backbones import TINY

from fewstep.network import Feeds
from fewstep.tensorrt.config import BuildConfig
from fewstep_export.components import Component
from fewstep_export.onnx_export import export_component
from fewstep_export.targets.ort import to_fp16
from fewstep_export.targets.tensorrt import write_engine
from fewstep_export.tensorrt.audit import wide_int64
from fewstep_export.tensorrt.qdq import FP8, INT8, activation_ranges, quantized
from fewstep_models.attention import AttentionKind
from fewstep_models.backbones import BackboneConfig
from fewstep_models.dit import DiTConfig

pytest.importorskip("tensorrt_rtx", reason="the extra [tensorrt] is not installed")
INPUTS = ("latents", "timestep", "text_states", "text_mask")


def _feeds(config: BackboneConfig) -> Feeds:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((2, config.latent_channels, config.size, config.size))
    states = rng.standard_normal((2, 5, config.text_dim))
    arrays = (latents, np.array([10.0, 900.0]), states, np.ones((2, 5)))
    return {name: array.astype(np.float32) for name, array in zip(INPUTS, arrays, strict=True)}


SOFTMAX = TINY[1]
assert isinstance(SOFTMAX, DiTConfig)
OTHER_ATTENTION = [replace(SOFTMAX, attention=kind) for kind in get_args(AttentionKind) if kind != "softmax"]


@pytest.mark.parametrize(
    "config",
    [
        SOFTMAX,
        *(pytest.param(config, marks=pytest.mark.slow) for config in (TINY[0], *TINY[2:], *OTHER_ATTENTION)),
    ],
    ids=lambda config: f"{config.type}-{getattr(config, 'attention', '')}",
)
def test_an_engine_is_built(config: BackboneConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = config.build().eval()
    for weight in module.parameters():  # layers that start at zero would have no range
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    feeds = _feeds(config)
    graph = export_component(Component("denoiser", module, INPUTS, ("velocity",)), feeds).model
    half = to_fp16(graph)
    built = write_engine(half, "denoiser", tmp_path / "fp16.engine", BuildConfig())
    assert wide_int64(built.layers) == []
    ranges = activation_ranges(graph, [feeds])
    for bits in (INT8, FP8):
        model = quantized(half, ranges, bits)
        write_engine(model, "denoiser", tmp_path / f"{bits.name}.engine", BuildConfig())

"""Every denoiser of fewstep_models becomes a Core ML package that computes the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny_backbones import TINY

from fewstep.network import Feeds
from fewstep_export.components import Component
from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.verify import verify_package
from fewstep_export.onnx_export import export_component
from fewstep_export.targets.ort import to_fp16
from fewstep_models.backbones import BackboneConfig

INPUTS = ("latents", "timestep", "text_states", "text_mask")
TOKENS = 5
BACKBONES = TINY[1:]
"""One of each kind; Sana is the denoiser of the tiny generator."""


def _feeds(config: BackboneConfig) -> Feeds:
    """Two rows; the second text is shorter."""
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((2, config.latent_channels, config.size, config.size))
    states = rng.standard_normal((2, TOKENS, config.text_dim))
    mask = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])
    arrays = (latents, np.array([10.0, 900.0]), states, mask)
    return {name: array.astype(np.float32) for name, array in zip(INPUTS, arrays, strict=True)}


@pytest.mark.parametrize(
    "config",
    [BACKBONES[0], *(pytest.param(config, marks=pytest.mark.slow) for config in BACKBONES[1:])],
    ids=lambda config: config.type,
)
def test_backbone_converts(config: BackboneConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = config.build().eval()
    for weight in module.parameters():  # layers that start at zero would hide everything behind them
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    feeds = _feeds(config)
    graph = export_component(Component("denoiser", module, INPUTS, ("velocity",)), feeds).model
    cases = [{name: value[i : i + 1] for name, value in feeds.items()} for i in range(2)]
    convert(graph, tmp_path / "full.mlpackage", ConvertConfig("iOS17"))
    verify_package(tmp_path / "full.mlpackage", graph, cases)
    convert(to_fp16(graph), tmp_path / "half.mlpackage", ConvertConfig("iOS18"))
    verify_package(tmp_path / "half.mlpackage", graph, cases, "fp16")

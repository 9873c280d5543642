"""Every denoiser of fewstep_models becomes a Core ML package that computes the same."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fewstep.network import Feeds
from fewstep_export.components import Component
from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.verify import verify_package
from fewstep_export.onnx_export import export_component
from fewstep_export.targets.ort import to_fp16
from fewstep_models.backbones import BackboneConfig
from fewstep_models.diffussm import DiffuSSMConfig
from fewstep_models.dit import DiTConfig
from fewstep_models.mamba2 import Mamba2Config
from fewstep_models.mmdit import MMDiTConfig
from fewstep_models.udit import UDiTConfig
from fewstep_models.unet import UNetConfig

INPUTS = ("latents", "timestep", "text_states", "text_mask")
TOKENS = 5
BACKBONES: list[BackboneConfig] = [
    DiTConfig(width=32, depth=1, head_channels=16, text_dim=12, size=4),
    MMDiTConfig(width=32, depth=2, head_channels=16, text_dim=12, pooled_dim=12, size=4),
    UNetConfig(
        size=4,
        widths=(16,),
        depths=(1,),
        heads=(2,),
        mid_depth=0,
        groups=4,
        text_dim=12,
        attention="linfusion",
    ),
    UDiTConfig(size=4, width=16, depths=(1,), head_channels=8, text_dim=12),
    DiffuSSMConfig(size=4, width=32, depth=1, states=4, chunk=4, cross_head_channels=16, text_dim=12),
    Mamba2Config(
        size=4, width=32, depth=1, states=8, head_channels=16, chunk=4, cross_head_channels=16, text_dim=12
    ),
]
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

"""The evaluator on packages of coremltools' own frontend, and FP16 where that frontend loses the picture."""

from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewstep.network import Feeds
from fewstep_export.components import Component, Generator
from fewstep_export.coreml.convert import convert
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.onnx_export import export_component
from fewstep_export.targets.ort import to_fp16

from .conftest import COMPONENTS
from .direct import convert_directly


@pytest.mark.parametrize(
    "name", ["text_encoder", *(pytest.param(name, marks=pytest.mark.slow) for name in COMPONENTS[1:])]
)
def test_the_evaluator_runs_what_coremltools_makes_of_torch(
    name: str, tiny: Generator, inputs: dict[str, list[Feeds]], packages: dict[str, Path], tmp_path: Path
) -> None:
    component = tiny.component(name)
    assert isinstance(component, Component)
    feeds = {key: inputs[name][0][key] for key in component.inputs}
    path = tmp_path / "direct.mlpackage"
    convert_directly(component.module, feeds, component.outputs, path, half=False)
    direct, ours, right = Evaluator(path)(feeds), Evaluator(packages[name])(feeds), component.run(feeds)
    for output, expected in right.items():
        scale = np.abs(expected).max()
        assert np.abs(direct[output] - expected).max() <= 1e-5 * scale
        assert np.abs(ours[output] - direct[output]).max() <= 1e-5 * scale


class Pictures(nn.Module):
    """The decoder of the KL-VAE of diffusers."""

    def __init__(self, autoencoder: diffusers.AutoencoderKL) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latents: Tensor) -> Tensor:
        return self.autoencoder.decode(latents).sample  # type: ignore[no-any-return]


def _large(autoencoder: diffusers.AutoencoderKL, latents: Tensor) -> float:
    """Scales the first convolution so that its activations reach 1,000, which the norms behind it undo; returns the largest."""
    convolution = autoencoder.decoder.conv_in
    convolution.weight.data *= 2000 / convolution(latents).abs().max()
    convolution.bias.data *= 0
    return float(convolution(latents).abs().max())


def test_activations_of_1000_survive_fp16_where_a_plain_conversion_loses_the_picture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    autoencoder = diffusers.AutoencoderKL(
        block_out_channels=[16, 32], down_block_types=["DownEncoderBlock2D"] * 2, latent_channels=4, norm_num_groups=8,
        up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip
    autoencoder = autoencoder.eval().requires_grad_(False)
    for weight in autoencoder.parameters():
        if weight.ndim > 1:
            nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
    feeds = {"latents": torch.randn(2, 4, 8, 8).numpy()}
    latents = autoencoder.post_quant_conv(torch.from_numpy(feeds["latents"]))
    assert _large(autoencoder, latents) >= 1000
    component = Component("decoder", Pictures(autoencoder).eval(), ("latents",), ("image",))
    graph = export_component(component, feeds).model
    row = {"latents": feeds["latents"][:1]}
    convert(to_fp16(graph), tmp_path / "ours.mlpackage")
    convert_directly(component.module, row, ("image",), tmp_path / "plain.mlpackage", half=True)
    right = component.run(row)["image"]
    errors = {
        name: np.abs(
            np.nan_to_num(Evaluator(tmp_path / f"{name}.mlpackage", "fp16")(row)["image"]) - right
        ).max()
        for name in ("ours", "plain")
    }
    assert right.std() > 0.1
    assert errors["ours"] <= 1e-2 * np.abs(right).max() and errors["plain"] > 0.1 * np.abs(right).max(), (
        errors
    )

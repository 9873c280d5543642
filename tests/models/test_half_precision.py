"""Linear layers at 4096 positions: large activations in half precision, heads that are dead, both in ONNX Runtime.

ONNX Runtime computes FP16 graphs on x86 in FP32, so FP16 is emulated: every tensor is rounded, and overflows.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewstep_export.components import Component
from fewstep_export.onnx_export import ExportedComponent, export_component
from fewstep_export.session import runner
from fewstep_export.targets.ort import emulate_fp16, to_fp16
from fewstep_models.kernel_attention import KernelLinearAttention
from fewstep_models.layers import LinearAttention
from fewstep_models.linfusion import GeneralisedLinearAttention
from fewstep_models.mamba2 import Mamba2, Mamba2Config
from fewstep_models.multiscale_attention import MultiscaleLinearAttention
from fewstep_models.s4d import S4D

from .conftest import awake

SIDE, CHANNELS = 64, 16


class OverMap(nn.Module):
    """A layer of sequences (B, C, L) on a map (B, C, H, W)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, latents: Tensor) -> Tensor:
        b, c, h, w = latents.shape
        sequence: Tensor = self.layer(latents.reshape(b, c, h * w))
        return sequence.reshape(b, c, h, w)


class NaiveLinearAttention(LinearAttention):
    """Linear attention with sums in place of means: what must not be shipped."""

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = (
            self.to_qkv(x).reshape(b, 3 * c // self.head_channels, self.head_channels, h * w).chunk(3, 1)
        )
        q, k = q.relu(), k.relu()
        out: Tensor = (v @ k.transpose(-1, -2)) @ q / (k.sum(-1)[:, :, None] @ q + 0.1)
        return out.reshape(b, c, h, w)


MAMBA2 = Mamba2Config(size=SIDE, width=CHANNELS, states=8, head_channels=16)
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: LinearAttention(CHANNELS, 8),
    "elu": lambda: KernelLinearAttention(CHANNELS, 8),
    "linfusion": lambda: GeneralisedLinearAttention(CHANNELS, 8),
    "multiscale": lambda: MultiscaleLinearAttention(CHANNELS, 8, (3, 5)),
    "s4d chunked": lambda: OverMap(S4D(CHANNELS, SIDE**2)),
    "s4d convolution": lambda: OverMap(S4D(CHANNELS, SIDE**2, form="convolution")),
    "mamba2": lambda: OverMap(Mamba2(MAMBA2, reverse=False)),
    "mamba2 reverse": lambda: OverMap(Mamba2(MAMBA2, reverse=True)),
}


@cache
def _layer(name: str) -> nn.Module:
    torch.manual_seed(0)
    return awake(LAYERS[name]())


@cache
def _exported(name: str) -> ExportedComponent:
    return _export(_layer(name))


def _export(layer: nn.Module) -> ExportedComponent:
    return export_component(
        Component("decoder", layer, ("latents",), ("image",)), {"latents": _activations(1.0)}
    )


def _activations(scale: float) -> np.ndarray:
    """Two maps of 64x64 positions."""
    values = torch.randn(2, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    return (scale * values).numpy()


def _errors(exported: ExportedComponent, scale: float) -> tuple[float, float]:
    """The largest relative errors of the FP32 graph and of the emulated FP16 graph."""
    feeds = {"latents": _activations(scale)}
    expected = exported.component.run(feeds)["image"]
    found = [
        runner(model)(feeds)["image"] for model in (exported.model, emulate_fp16(to_fp16(exported.model)))
    ]
    fp32, fp16 = (float(np.abs(values - expected).max() / np.abs(expected).max()) for values in found)
    return fp32, fp16


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name == "s4d convolution" else name for name in LAYERS],
)
def test_large_activations_stay_finite_and_close(name: str) -> None:
    # Mamba-2's step sizes are exponentials of its input, which is the output of a norm; the others see what a residual stream holds.
    for scale in (1.0, 4.0 if "mamba2" in name else 30.0):
        fp32, fp16 = _errors(_exported(name), scale)
        assert fp32 <= 1e-4
        assert fp16 <= 1e-2  # false for nan and inf too


def test_sums_in_place_of_means_would_fail() -> None:
    torch.manual_seed(0)
    with np.errstate(invalid="ignore"):
        fp16 = _errors(_export(NaiveLinearAttention(CHANNELS, 8)), 30.0)[1]
    assert not fp16 <= 1e-2


@pytest.mark.parametrize("name", ["relu", "elu", "linfusion", "multiscale"])
def test_a_dead_head_gives_the_bias_in_every_precision(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]()
    for projection in ("to_qkv", "to_q", "to_k", "to_v"):
        if hasattr(layer, projection):
            nn.init.zeros_(layer.get_submodule(projection).weight)  # type: ignore[arg-type]
    exported, feeds = _export(layer.eval()), {"latents": _activations(30.0)}
    biases = dict(layer.named_parameters()).get("to_out.bias", torch.zeros(CHANNELS))
    bias = biases.detach().numpy()[:, None, None]
    for model in (exported.model, emulate_fp16(to_fp16(exported.model))):
        np.testing.assert_allclose(
            runner(model)(feeds)["image"], np.broadcast_to(bias, (2, CHANNELS, SIDE, SIDE)), atol=1e-3
        )

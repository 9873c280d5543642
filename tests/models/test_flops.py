"""Counted FLOPs against formulas written out by hand, for the default sizes and others."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from fewstep_models.backbones import BackboneConfig, from_json
from fewstep_models.diffussm import DiffuSSMConfig
from fewstep_models.dit import DiTConfig
from fewstep_models.flops import Cost, backbone_cost, cost
from fewstep_models.mmdit import MMDiTConfig
from fewstep_models.sana import SanaConfig
from fewstep_models.unet import UNetConfig

L, D = 32, 384  # text tokens and their width


def _text(c: int) -> int:
    """Timestep embedding from 256 sinusoids and text projection, multiplications."""
    return 256 * c + c * c + L * (D * c + c * c)


def _cross_attention(n: int, c: int) -> int:
    return 2 * n * c * c + 2 * L * c * c + 2 * n * L * c


def dit(config: DiTConfig) -> int:
    n, c, p = (config.size // config.patch) ** 2, config.width, 8 * config.patch**2
    block = 4 * n * c * c + 2 * n * n * c + 8 * n * c * c + 6 * c * c + _cross_attention(n, c)
    return 2 * (_text(c) + n * p * c + config.depth * block + 2 * c * c + n * c * p)


def sana(config: SanaConfig) -> int:
    n, c, d, h = config.size**2, config.width, config.head_channels, round(2.5 * config.width)
    attention = 4 * n * c * c + 2 * n * c * d + n * c  # projections, context and its use, denominator
    ffn = 3 * n * c * h + 9 * 2 * h * n
    return 2 * (
        _text(c) + 6 * c * c + 2 * n * 8 * c + config.depth * (attention + ffn + _cross_attention(n, c))
    )


def mmdit(config: MMDiTConfig) -> int:
    n, c = config.size**2, config.width
    both = 2 * (n + L) ** 2 * c + (4 + 8) * (n + L) * c * c + 12 * c * c
    last_text_has_no_output = L * c * c + 8 * L * c * c + 4 * c * c
    conditions = 256 * c + c * c + D * c + c * c + L * D + L * D * c  # time, pooled, their mean, text
    return 2 * (conditions + 2 * n * 8 * c + config.depth * both - last_text_has_no_output + 2 * c * c)


def diffussm(config: DiffuSSMConfig) -> int:
    n, c, m = config.size**2, config.width, config.squeeze
    j, q, s = n // m, min(config.chunk, n), config.states
    dense = j * (c * c + m * c * c + 2 * m * c * c + 2 * c * c + 4 * c * c + 2 * c * c)
    ssm = (
        n * c * (q + 8 * s) + 2 * 2 * c * s * q
    )  # within a chunk, into and out of the states; the kernel itself
    block = 3 * c * c + dense + ssm + _cross_attention(j, c)
    return 2 * (_text(c) + 2 * n * 8 * c + config.depth * block + 2 * c * c)


@pytest.mark.parametrize("size", [16, 32])
def test_flops_are_those_of_the_formulas(size: int) -> None:
    assert backbone_cost(DiTConfig(size=size)).flops == dit(DiTConfig(size=size))
    assert backbone_cost(DiTConfig(size=size, patch=2)).flops == dit(DiTConfig(size=size, patch=2))
    assert backbone_cost(SanaConfig(size=size)).flops == sana(SanaConfig(size=size))
    assert backbone_cost(MMDiTConfig(size=size)).flops == mmdit(MMDiTConfig(size=size))
    assert backbone_cost(DiffuSSMConfig(size=size)).flops == diffussm(DiffuSSMConfig(size=size))


@pytest.mark.parametrize(
    "config", [UNetConfig(), UNetConfig(attention="linfusion")], ids=["unet", "linfusion"]
)
def test_counting_with_fake_tensors_is_counting_with_data(config: BackboneConfig) -> None:
    values = (torch.randn(1, 8, 16, 16), torch.ones(1), torch.randn(1, L, D), torch.ones(1, L))
    assert cost(config.build(), values) == backbone_cost(config, L)


def test_a_linear_layer_costs_two_operations_a_weight_and_row() -> None:
    assert cost(nn.Linear(3, 5), [torch.randn(7, 3)]) == Cost(parameters=20, flops=2 * 3 * 5 * 7)


def test_the_documented_table_is_what_is_counted() -> None:
    text = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)`(?:, `attention = \"(\w+)\"`)? \|.*\| ([\d.]+) M \| ([\d.]+) \|$", text, re.MULTILINE
    )
    assert len(rows) == 10
    for kind, attention, parameters, gigaflops in rows:
        found = backbone_cost(from_json({"type": kind, **({"attention": attention} if attention else {})}))
        assert (f"{found.parameters / 1e6:.1f}", f"{found.flops / 1e9:.2f}") == (parameters, gigaflops)

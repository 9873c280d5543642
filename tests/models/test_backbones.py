"""What holds for every backbone: one interface, no mixing of rows, an ONNX graph that computes the same, FP16 that stays close."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from tests.tiny_backbones import TINY

from fewstep_export.onnx_export import ExportedComponent
from fewstep_export.session import runner
from fewstep_export.targets.ort import emulate_fp16, to_fp16
from fewstep_models.backbones import BackboneConfig, from_json, to_json
from fewstep_models.diffussm import DiffuSSMConfig
from fewstep_models.dit import DiTConfig
from fewstep_models.udit import UDiTConfig
from fewstep_models.unet import UNetConfig

from .conftest import awake, export, feeds_of, inputs, operators

VARIANTS: list[BackboneConfig] = [
    DiTConfig(width=32, depth=2, head_channels=16, text_dim=12, size=8, patch=2, attention="elu"),
    UNetConfig(size=4, widths=(16, 32), depths=(0, 1), heads=(2, 2), groups=4, text_dim=12),
    UDiTConfig(size=8, width=16, depths=(1, 1), head_channels=8, text_dim=12),
    DiffuSSMConfig(
        size=4, width=32, depth=2, states=4, form="convolution", cross_head_channels=16, text_dim=12
    ),
]
"""Their other layouts, more than one resolution among them."""

every_backbone = pytest.mark.parametrize("config", TINY + VARIANTS, ids=lambda config: config.type)
every_graph = pytest.mark.parametrize(
    "config",
    TINY + [pytest.param(config, marks=pytest.mark.slow) for config in VARIANTS],
    ids=lambda config: config.type,
)
NOT_PORTABLE = {"DFT", "STFT", "Scan", "Loop", "If", "Shape", "NonZero", "ScatterND"}
"""Operators that no graph may hold: the first need a CPU on phones, the last stand for shapes that are not static."""


@cache
def _exported(config: BackboneConfig) -> ExportedComponent:
    return export(awake(config.build()), inputs(config))


@every_backbone
def test_untrained_network_predicts_no_velocity(config: BackboneConfig) -> None:
    assert not config.build()(*inputs(config)).any()


@every_backbone
def test_velocity_depends_on_every_input_but_the_padding(config: BackboneConfig) -> None:
    model, (x, t, text, mask) = awake(config.build()), inputs(config)
    velocity = model(x, t, text, mask)
    assert velocity.shape == x.shape
    assert not torch.allclose(velocity, model(x + 1, t, text, mask))
    assert not torch.allclose(velocity, model(x, t / 2, text, mask))
    assert not torch.allclose(velocity, model(x, t, -text, mask))
    padded = text + 50 * (1 - mask)[..., None]
    torch.testing.assert_close(velocity, model(x, t, padded, mask))


@every_backbone
def test_velocity_knows_the_place(config: BackboneConfig) -> None:
    model, (x, t, text, mask) = awake(config.build()), inputs(config)
    velocity = model(torch.ones_like(x), t, text, mask)
    assert velocity.flatten(2).std(-1).min() > 1e-4


@every_backbone
def test_rows_of_a_batch_do_not_mix(config: BackboneConfig) -> None:
    model, values = awake(config.build()), inputs(config)
    alone = model(*(x[:1] for x in values))
    torch.testing.assert_close(model(*values)[:1], alone, atol=1e-5, rtol=1e-5)


@every_backbone
def test_gradients_reach_every_weight(config: BackboneConfig) -> None:
    model, values = awake(config.build()), inputs(config)
    model(*values).square().mean().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert [
        name for name in silent if not name.endswith("text.norm_q.weight")
    ] == []  # MMDiT's last text asks nothing


@every_graph
def test_graph_is_portable_and_agrees_with_torch(config: BackboneConfig) -> None:
    assert not operators(_exported(config).model) & NOT_PORTABLE


@every_graph
def test_half_precision_stays_close(config: BackboneConfig) -> None:
    values, exported = inputs(config), _exported(config)
    expected = exported.component.run(feeds_of(values))["velocity"]
    half = runner(emulate_fp16(to_fp16(exported.model)))(feeds_of(values))["velocity"]
    assert np.abs(half - expected).max() <= 1e-2 * np.abs(expected).max()


@every_backbone
def test_configuration_survives_json(config: BackboneConfig) -> None:
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_a_default_backbone_has_the_parameters_of_the_table() -> None:
    for kind in {type(config) for config in TINY}:
        count = sum(p.numel() for p in kind().build().parameters())
        assert 10e6 <= count <= 12.5e6, f"{kind.type}: {count}"


def test_unknown_backbones_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one of the backbones sana, dit.*, found 'gan'"):
        from_json({"type": "gan"})

"""Helpers of the backbones' tests: random weights, inputs, and the way from a backbone to its checked ONNX graph."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from fewstep_export.components import Component
from fewstep_export.fixed_inputs import Case
from fewstep_export.onnx_export import ExportedComponent, export_component
from fewstep_export.parity import FP32_TOLERANCE, Check, verify
from fewstep_export.session import runner
from fewstep_models.backbones import BackboneConfig

M = TypeVar("M", bound=nn.Module)
INPUTS = ("latents", "timestep", "text_states", "text_mask")
torch.set_num_threads(1)  # the tiny models are too small for two, and the machine may be busy


def randomise(module: M, scale: float = 0.6) -> M:
    """Random values in every parameter, zero-initialised ones included, so that every weight matters."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, p in module.named_parameters():
            std = scale / max(1, p[0].numel()) ** 0.5 if p.ndim > 1 else 0.1
            one = 1.0 if p.ndim == 1 and "norm" in name and name.endswith("weight") else 0.0
            p.copy_(torch.randn_like(p) * std + one)
    return module.eval()


def awake(module: M) -> M:
    """Random values in the parameters that start at zero."""
    torch.manual_seed(1)
    for p in module.parameters():
        if not p.any():
            nn.init.normal_(p, std=0.1)
    return module.eval()


def inputs(config: BackboneConfig, tokens: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two latents, timesteps, text states and masks, the second text one token shorter than the first."""
    torch.manual_seed(2)
    mask = torch.ones(2, tokens)
    mask[0, -1:], mask[1, -2:] = 0, 0
    latents = torch.randn(2, config.latent_channels, config.size, config.size)
    return latents, torch.tensor([10.0, 900.0]), torch.randn(2, tokens, config.text_dim), mask


def feeds_of(values: tuple[Tensor, ...]) -> Mapping[str, np.ndarray]:
    """Inputs of a denoiser by name."""
    return {name: value.numpy() for name, value in zip(INPUTS, values, strict=True)}


def export(module: nn.Module, values: tuple[Tensor, ...]) -> ExportedComponent:
    """The checked FP32 graph of a denoiser, in agreement with torch in ONNX Runtime."""
    component = Component("denoiser", module, INPUTS, ("velocity",))
    feeds = feeds_of(values)
    exported = export_component(component, feeds)
    case = Case(feeds, component.run(feeds))
    verify(Check(exported, "fp32", runner(exported.model), exported.model, FP32_TOLERANCE), [case])
    return exported


def operators(model: onnx.ModelProto) -> set[str]:
    """The kinds of operators of a graph."""
    return {node.op_type for node in model.graph.node}

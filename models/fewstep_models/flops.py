"""What a network costs: parameters, and floating-point operations of one evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fewstep_models.backbones import BackboneConfig


@dataclass(frozen=True)
class Cost:
    """Parameters, and FLOPs: twice the multiplications of matrix products, convolutions and attention. Element-wise work is not counted."""

    parameters: int
    flops: int


def cost(module: nn.Module, values: Sequence[Tensor]) -> Cost:
    """The cost of one call with these inputs."""
    # torch's counter does not know the fused attention of the CPU: as matrix products it counts.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        module(*values)
    return Cost(sum(p.numel() for p in module.parameters()), counter.get_total_flops())


def backbone_cost(config: BackboneConfig, text_tokens: int = 32) -> Cost:
    """The cost of one evaluation for one picture and a text of so many tokens; with fake tensors, which have shapes and no values."""
    with FakeTensorMode():
        latents = torch.empty(1, config.latent_channels, config.size, config.size)
        text, mask = torch.empty(1, text_tokens, config.text_dim), torch.empty(1, text_tokens)
        return cost(config.build().eval(), (latents, torch.empty(1), text, mask))

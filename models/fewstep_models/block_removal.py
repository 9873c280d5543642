"""A denoiser of some blocks of a deeper one (Kim et al. 2023, BK-SDM, arXiv:2305.15798): where a small network starts from a large one's weights."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from fewstep_models.backbones import BackboneConfig

_BLOCKS = "blocks"


def of_blocks(state: Mapping[str, Tensor], kept: Sequence[int]) -> dict[str, Tensor]:
    """The weights of a denoiser that has these blocks of ``state``'s, in this order, and all else."""
    made = {name: value for name, value in state.items() if not name.startswith(f"{_BLOCKS}.")}
    for new, old in enumerate(kept):
        prefix = f"{_BLOCKS}.{old}."
        made |= {
            f"{_BLOCKS}.{new}.{name.removeprefix(prefix)}": value
            for name, value in state.items()
            if name.startswith(prefix)
        }
    return made


def shortened(denoiser: nn.Module, kept: Sequence[int]) -> nn.Module:
    """A copy of the denoiser that has these of its blocks, in this order."""
    copied = copy.deepcopy(denoiser)
    blocks = copied.get_submodule(_BLOCKS)
    assert isinstance(blocks, nn.ModuleList)
    copied.register_module(_BLOCKS, nn.ModuleList(blocks[block] for block in kept))
    return copied


def shortened_config(config: BackboneConfig, kept: Sequence[int]) -> BackboneConfig:
    """The configuration of such a denoiser.

    Raises:
        ValueError: the backbone is no stack of blocks, or has not these.
    """
    depth = getattr(config, "depth", 0)
    if not kept or not all(0 <= block < depth for block in kept):
        raise ValueError(f"expected blocks of a '{config.type}' with {depth}, found {tuple(kept)}")
    return dataclasses.replace(config, depth=len(kept))  # type: ignore[arg-type]

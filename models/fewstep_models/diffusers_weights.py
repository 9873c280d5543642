"""Weights of a diffusers model under the names and in the shapes of ours."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fewstep.errors import FewstepError

Rules = Sequence[tuple[str, str]]
"""Regular expressions and their replacements, applied one after the other to every name of diffusers.

A result "NAME#2" is the third piece of NAME along its first dimension (diffusers keeps q, k and v apart).
"""


def fused(theirs: str, ours: str, parts: Sequence[str] = ("to_q", "to_k", "to_v")) -> Rules:
    """Rules that make one layer ``ours`` of the layers ``theirs.PART``."""
    return [(rf"{theirs}\.{part}\.(\w+)$", rf"{ours}.\1#{i}") for i, part in enumerate(parts)]


def rename(state: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """The tensors under their new names, pieces joined."""
    pieces: dict[str, dict[int, Tensor]] = {}
    for name, value in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        target, _, index = name.partition("#")
        pieces.setdefault(target, {})[int(index or 0)] = value
    return {
        target: torch.cat([parts[i] for i in sorted(parts)]) if len(parts) > 1 else next(iter(parts.values()))
        for target, parts in pieces.items()
    }


def patch_rows(state: Mapping[str, Tensor], layer: str, patch: int, channels: int) -> dict[str, Tensor]:
    """The weights with the rows of an output layer, (p, q, channel) in diffusers, in pixel_shuffle's order (channel, p, q).

    Channels after the first ``channels`` are left out: a learned variance.
    """
    names = [name for name in (f"{layer}.weight", f"{layer}.bias") if name in state]
    rows = {name: state[name].unflatten(0, (patch**2, -1)).transpose(0, 1) for name in names}
    return {**state, **{name: value[:channels].flatten(0, 1) for name, value in rows.items()}}


def load_renamed(module: nn.Module, state: Mapping[str, Tensor], rules: Rules) -> None:
    """Load weights of diffusers into a module; a linear layer's matrix fits a 1x1 convolution.

    Raises:
        FewstepError: a weight is missing, left over, or of another shape; the message names it.
    """
    theirs, ours = rename(state, rules), module.state_dict()
    kind = type(module).__name__
    for what, names in (
        ("is missing", ours.keys() - theirs.keys()),
        ("has no place", theirs.keys() - ours.keys()),
    ):
        if names:
            raise FewstepError(
                f"expected the {len(ours)} weights of a {kind}, but '{min(names)}' {what} ({len(names)} in all); "
                "check that the configuration is the one that came with the weights"
            )
    for name, value in theirs.items():
        if _plain(value.shape) != _plain(ours[name].shape):
            raise FewstepError(
                f"expected shape {tuple(ours[name].shape)}, found {tuple(value.shape)}, in weight '{name}' of a {kind}; "
                "check that the configuration is the one that came with the weights"
            )
    module.load_state_dict({name: value.reshape(ours[name].shape) for name, value in theirs.items()})


def _plain(shape: torch.Size) -> tuple[int, ...]:
    """A shape without the trailing ones of a 1x1 convolution."""
    sizes = list(shape)
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)

"""A network as low-rank additions to another's weights, in one safetensors file (Hu et al. 2021, arXiv:2106.09685).

``NAME.down`` (rank, columns) and ``NAME.up`` (rows, rank) say ``W + up down`` for the weight NAME, whatever its further axes of size 1; any
other name is a small parameter (a bias, a table, a depthwise kernel) that stands in the place of the other network's, if it has such a one.
"""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fewstep.errors import FewstepError

DOWN, UP = ".down", ".up"


def with_additions(state: Mapping[str, Tensor], additions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights ``state`` with ``additions`` to them, in float32.

    Sums are rounded to the type that the weight is stored in (FP16), so that the checkpoint of a LoRA is the network whose whole checkpoint
    its training wrote, and FP16 builds of it round no weight any further.

    Raises:
        KeyError, RuntimeError: a name or a shape does not fit.
    """
    made = {name: value.float() for name, value in state.items()}
    for name, value in additions.items():
        if name.endswith(DOWN):
            weight = name.removesuffix(DOWN)
            product = additions[weight + UP].float() @ value.float()
            merged = made[weight] + product.reshape(made[weight].shape)
            made[weight] = merged.to(state[weight].dtype).float()
        elif not name.endswith(UP):
            made[name] = value.float().reshape(made[name].shape if name in made else value.shape)
    return made


def read_additions(path: Path) -> dict[str, Tensor]:
    """The content of such a file.

    Raises:
        FewstepError: it is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise FewstepError(f"cannot read the LoRA {path}: {error}; restore the file and run again") from error

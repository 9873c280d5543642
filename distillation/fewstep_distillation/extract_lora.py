"""A LoRA out of two checkpoints of one architecture: what one is beyond the other, to a low rank.

    python -m fewstep_distillation.extract_lora OTHER --base BASE [--blocks 0,3,8,9] --rank 12 --output FOLDER

Of every difference of weights the nearest matrix of that rank (Eckart and Young 1936); small parameters are taken over whole. FOLDER must
lie beside BASE, whose weights it refers to, or those of some of whose blocks; ``start = "FOLDER"`` with the same ``lora_rank`` trains on.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_distillation.lora import Adapted, add_lora, additions_of, save_additions
from fewstep_models import zoo
from fewstep_models.block_removal import shortened, shortened_config
from fewstep_models.checkpoint import COMPONENTS, Checkpoint, lora_file, write_config
from fewstep_models.sana import SanaDenoiser


def low_rank(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(rows, columns) -> ``up`` (rows, rank) and ``down`` (rank, columns) with the nearest product; both carry the root of its values.

    Where the matrix has a smaller rank, the rest is zero.
    """
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    root, missing = s[:rank].sqrt(), max(0, rank - len(s))
    return F.pad(u[:, :rank] * root, (0, missing)), F.pad(root[:, None] * v[:rank], (0, 0, 0, missing))


@torch.no_grad()
def approximated(base: nn.Module, other: nn.Module, rank: int) -> nn.Module:
    """``base``, adapted so that it comes near to ``other``."""
    wanted = dict(other.named_parameters())
    add_lora(base, rank)
    for name, part in base.named_modules():
        if not isinstance(part, Adapted):
            continue
        up, down = low_rank((wanted[f"{name}.weight"] - part.layer.weight).flatten(1), rank)
        part.up.copy_(up)
        part.down.copy_(down)
    for name, value in additions_of(base).items():
        if name in wanted:  # whole
            value.copy_(wanted[name])
    return base


def extract(other: Path, base: Path, rank: int, output: Path, blocks: Sequence[int] = ()) -> None:
    """Write the checkpoint; ``blocks`` are those of ``base`` that ``other`` began with, all where there are none.

    Raises:
        FewstepError: a checkpoint cannot be read, they differ in architecture, or ``output`` is elsewhere.
    """
    if output.resolve().parent != base.resolve().parent:
        raise FewstepError(
            f"expected an output beside {base}, whose weights it will refer to, found {output}"
        )
    taken, kept = Checkpoint.load(other), Checkpoint.load(base)
    whole, architecture = kept.denoiser, kept.config.denoiser
    if blocks:
        try:
            architecture = shortened_config(architecture, blocks)
        except ValueError as error:
            raise FewstepError(f"cannot take those blocks of {base}: {error}") from error
        whole = shortened(whole, blocks)
    if isinstance(whole, SanaDenoiser) and getattr(taken.config.denoiser, "positions", False):
        whole.add_positions()
        architecture = dataclasses.replace(architecture, positions=True)  # type: ignore[arg-type]
    if taken.config.denoiser != architecture:
        raise FewstepError(f"expected checkpoints of one architecture, found others in {other} and {base}")
    module = approximated(whole, taken.denoiser, rank)
    output.mkdir(exist_ok=True)
    save_additions(module, lora_file(output, "denoiser"))
    weights = {component: base.resolve().name for component in COMPONENTS} | dict(kept.config.weights)
    config = dataclasses.replace(
        taken.config, name=output.name, weights=weights, loras=("denoiser",), blocks=tuple(blocks)
    )
    write_config(config, output)


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", help="checkpoint folder or zoo name")
    parser.add_argument("--base", required=True, help="checkpoint folder or zoo name")
    parser.add_argument("--blocks", default="", help="the blocks of BASE that OTHER began with: 0,3,8,9")
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    blocks = tuple(int(block) for block in options.blocks.split(",") if block)
    extract(zoo.resolve(options.other), zoo.resolve(options.base), options.rank, options.output, blocks)


if __name__ == "__main__":
    main(sys.argv[1:])

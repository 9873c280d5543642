"""What a Sana knows of the place, block by block: how well a linear map of its features tells the row that a pixel is in.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=2 python benchmarks/place.py CHECKPOINT ... [--draws 96] [--out FILE]

The inputs are noise at sigma = 1 and random text states, which know nothing of the place. A ridge regression is fitted on two thirds of the draws;
R^2 is that of the others, on all pixels and on the six by six in the middle, which the padding of a 3x3 convolution reaches after as many blocks as
they are pixels from the edge. Below 0 the map is worse than the mean. Writes results/place.json.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from facts import facts, text_of
from torch import Tensor

from fewstep import atomic
from fewstep_distillation.critics import tapped
from fewstep_models import zoo
from fewstep_models.checkpoint import Checkpoint

TARGET = Path(__file__).parent / "results" / "place.json"
TOKENS, RIDGE, MIDDLE = 4, 50.0, 6


@torch.no_grad()
def features_of(checkpoint: Checkpoint, draws: int) -> list[Tensor]:
    """Outputs (draws, width, size, size) of every block."""
    config, denoiser = checkpoint.config.denoiser, checkpoint.denoiser
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(draws, config.latent_channels, config.size, config.size, generator=generator)
    states = 0.3 * torch.randn(draws, TOKENS, config.text_dim, generator=generator)
    blocks = range(int(getattr(config, "depth", 0)))
    with tapped(denoiser, blocks) as features:
        denoiser(x, torch.full((draws,), 1000.0), states, torch.ones(draws, TOKENS))
    return features


def told(features: Tensor, margin: int) -> float:
    """R^2 of the row of a pixel by a ridge regression on its features (draws, width, size, size), ``margin`` pixels from the edge on."""
    draws, width, size, _ = features.shape
    inner = slice(margin, size - margin)
    x = features[:, :, inner, inner].permute(0, 2, 3, 1).double()
    y = torch.arange(size, dtype=torch.float64)[inner, None].expand(x.shape[:3])
    fitted = 2 * draws // 3
    x_fit, x_test = x[:fitted].reshape(-1, width), x[fitted:].reshape(-1, width)
    y_fit, y_test = y[:fitted].reshape(-1), y[fitted:].reshape(-1)
    mean, scale, middle = x_fit.mean(0), x_fit.std(0) + 1e-6, y_fit.mean()
    x_fit, x_test = (x_fit - mean) / scale, (x_test - mean) / scale
    gram = x_fit.T @ x_fit + RIDGE * torch.eye(width, dtype=torch.float64)
    weights = torch.linalg.solve(gram, x_fit.T @ (y_fit - middle))
    left = (x_test @ weights + middle - y_test).square().mean()
    return float(1 - left / y_test.var(correction=0))


def row(name: str, draws: int) -> dict[str, Any]:
    """The figures of one checkpoint."""
    checkpoint = Checkpoint.load(zoo.resolve(name))
    features = features_of(checkpoint, draws)
    margin = (checkpoint.config.denoiser.size - MIDDLE) // 2
    return {
        "checkpoint": checkpoint.config.name,
        "positions": getattr(checkpoint.config.denoiser, "positions", False),
        "all": [told(block, 0) for block in features],
        "middle": [told(block, margin) for block in features],
    }


def main(arguments: Sequence[str]) -> None:
    """Measures, writes, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", nargs="+", help="checkpoint folders or zoo names")
    parser.add_argument("--draws", type=int, default=96)
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args(arguments)
    atomic.require_writable(options.out)
    rows = [row(name, options.draws) for name in options.checkpoints]
    what = "R^2 of a pixel's row by a linear map of the features of each block"
    result = {
        "what": what,
        **facts("torch", threads=torch.get_num_threads()),
        "draws": options.draws,
        "rows": rows,
    }
    atomic.write_bytes(options.out, text_of(result).encode())
    for found in rows:
        print(found["checkpoint"], *(f"{value:.2f}" for value in found["middle"]))


if __name__ == "__main__":
    main(sys.argv[1:])

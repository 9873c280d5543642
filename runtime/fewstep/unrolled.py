"""One call instead of a loop: a graph that holds every row of a step table, guidance and the decoder."""

import numpy as np

from fewstep.guidance import Conditions
from fewstep.loop import Array, Noise
from fewstep.network import Network
from fewstep.step_table import StepTable


def noise_names(table: StepTable) -> list[str]:
    """The inputs for noise: ``noise_0`` begins the run, ``noise_i`` goes into row i - 1 if that draws any."""
    return ["noise_0", *(f"noise_{i}" for i, row in enumerate(table.rows, 1) if any(row.noise))]


def draw_unrolled(
    network: Network, table: StepTable, noise: Noise, conditions: Conditions, guidance: float
) -> Array:
    """Pictures (B, channels, H, W) float32 in [0, 1].

    Args:
        network: the graph.
        table: the one that it holds.
        noise: see `fewstep.loop.Noise`.
        conditions: of both branches, for a graph with guidance.
        guidance: scale, for a graph with guidance.
    """
    drawn = {name: noise(int(name.removeprefix("noise_"))) for name in noise_names(table)}
    scale = np.array([guidance], dtype=np.float32)
    return network({**drawn, **conditions, "guidance_scale": scale})["image"]

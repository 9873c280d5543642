"""The preconditioned variance-exploding schedule of EDM (Karras et al. 2022): x = x0 + sigma eps."""

import math
from collections.abc import Sequence

from fewstep.samplers.node import Node


def edm_node(sigma: float, sigma_data: float = 0.5) -> Node:
    """The network sees c_in x with c_in = 1 / sqrt(sigma^2 + sigma_data^2) and is told log(sigma) / 4 (table 1)."""
    told = 0.25 * math.log(sigma) if sigma else 0.0
    return Node(1.0, sigma, told, 1 / math.sqrt(sigma**2 + sigma_data**2))


def edm_nodes(sigmas: Sequence[float], sigma_data: float = 0.5) -> list[Node]:
    """Nodes of noise levels, the last of which may be 0."""
    return [edm_node(float(sigma), sigma_data) for sigma in sigmas]

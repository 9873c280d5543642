"""TrigFlow: x = cos t x0 + sin t z with z ~ N(0, sigma_d^2), t from pi/2 to 0 (Lu and Song 2024, section 3)."""

import math
from collections.abc import Sequence

from fewstep.samplers.node import Node


def trigflow_nodes(times: Sequence[float], sigma_data: float = 0.5) -> list[Node]:
    """Nodes with alpha = cos t and sigma = sigma_d sin t; the network is told t."""
    return [Node(math.cos(t), sigma_data * math.sin(t), t) for t in times]


def sana_sprint_nodes(times: Sequence[float], sigma_data: float = 0.5) -> list[Node]:
    """The same levels for a flow network (Chen et al. 2025): it is told s = sin t / (cos t + sin t).

    It sees x sqrt(s^2 + (1 - s)^2) / sigma_d. SANA-Sprint samples with times 1.5708, 1.3, 0.
    """
    nodes = []
    for t in times:
        s = math.sin(t) / (math.cos(t) + math.sin(t))
        scale = math.sqrt(s**2 + (1 - s) ** 2) / sigma_data
        nodes.append(Node(math.cos(t), sigma_data * math.sin(t), s, scale))
    return nodes

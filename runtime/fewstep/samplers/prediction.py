"""What a network predicts, as linear forms of its input x and its output m.

A prediction gives, at a node, the coefficients (a, b, c, d) with which

    D = a x + b m   estimates the clean latents x0,        E = c x + d m   estimates the noise eps.

The network may see scaled latents (`Node.input_scale`), in which it was trained with scaled levels; D and E are those of
the sampler's frame all the same.
"""

import math
from collections.abc import Callable, Mapping

from fewstep.errors import FewstepError
from fewstep.samplers.node import Node

Conversion = tuple[float, float, float, float]
Prediction = Callable[[Node], Conversion]


def epsilon(node: Node) -> Conversion:
    """M = eps: D = (x - sigma m) / alpha (Ho et al. 2020).

    Raises:
        FewstepError: alpha is 0, where the noise tells nothing of the data.
    """
    if node.alpha == 0:
        raise FewstepError(
            "expected a signal-to-noise ratio above 0 for a network that predicts epsilon, found 0; "
            "start from a smaller noise level"
        )
    return 1 / node.alpha, -node.sigma / node.alpha, 0.0, 1.0


def sample(node: Node) -> Conversion:
    """M = x0: E = (x - alpha m) / sigma."""
    return 0.0, 1.0, 1 / node.sigma, -node.alpha / node.sigma


def velocity(node: Node) -> Conversion:
    """M = alpha eps - sigma x0 of the network's frame (Salimans and Ho 2022), for any alpha^2 + sigma^2."""
    c = node.input_scale
    alpha, sigma = c * node.alpha, c * node.sigma
    square = alpha**2 + sigma**2
    return alpha * c / square, -sigma / square, sigma * c / square, alpha / square


def flow(node: Node) -> Conversion:
    """M = eps - x0 with alpha + sigma = 1 (Esser et al. 2024); for other levels the general solution."""
    total = node.alpha + node.sigma
    return 1 / total, -node.sigma / total, 1 / total, node.alpha / total


def trigflow(node: Node) -> Conversion:
    """M = sigma_d F with x = cos t x0 + sin t z and z of scale sigma_d: D = cos t x - sin t m (Lu and Song 2024).

    Nodes have alpha = cos t and sigma = sigma_d sin t. diffusers' SANA-Sprint pipeline multiplies F by sigma_d itself.
    """
    sin = math.sqrt(max(0.0, 1 - node.alpha**2))
    return _with_noise(node, node.alpha, -sin)


def scaled_trigflow(node: Node) -> Conversion:
    """M = F: D = cos t x - sigma_d sin t F, where `trigflow` has sigma_d inside m."""
    return _with_noise(node, node.alpha, -node.sigma)


def sana_sprint(node: Node) -> Conversion:
    """M = F of a flow network asked in TrigFlow: D = (x - sigma_d sin t F) / (cos t + sin t) (Chen et al. 2025, eq. 4)."""
    sin = math.sqrt(max(0.0, 1 - node.alpha**2))
    total = node.alpha + sin
    return _with_noise(node, 1 / total, -node.sigma / total)


def edm(sigma_data: float, sign: float = 1.0) -> Prediction:
    """M = F: D = c_skip x + c_out F with the preconditioning of Karras et al. 2022, table 1.

    Args:
        sigma_data: standard deviation of the data.
        sign: -1 for networks trained with "v_prediction" in diffusers' EDM schedulers.
    """

    def convert(node: Node) -> Conversion:
        square = node.sigma**2 + sigma_data**2
        return _with_noise(node, sigma_data**2 / square, sign * node.sigma * sigma_data / math.sqrt(square))

    return convert


def consistency(sigma_data: float, sigma_min: float) -> Prediction:
    """M = F of a consistency model, with the boundary condition D(x, sigma_min) = x (Song et al. 2023, appendix C)."""

    def convert(node: Node) -> Conversion:
        skip = sigma_data**2 / ((node.sigma - sigma_min) ** 2 + sigma_data**2)
        out = (node.sigma - sigma_min) * sigma_data / math.sqrt(node.sigma**2 + sigma_data**2)
        return _with_noise(node, skip, out)

    return convert


def with_boundary(inner: Prediction, timestep_scaling: float = 10.0, sigma_data: float = 0.5) -> Prediction:
    """D' = c_skip x + c_out D of latent consistency models (Luo et al. 2023, section 4.1), c by the scaled timestep."""

    def convert(node: Node) -> Conversion:
        a, b, _, _ = inner(node)
        s = node.timestep * timestep_scaling
        skip, out = sigma_data**2 / (s**2 + sigma_data**2), s / math.sqrt(s**2 + sigma_data**2)
        return _with_noise(node, skip + out * a, out * b)

    return convert


PREDICTIONS: Mapping[str, Prediction] = {
    "epsilon": epsilon,
    "sample": sample,
    "v": velocity,
    "flow": flow,
    "trigflow": trigflow,
}
"""The predictions without parameters, by the name that a step table carries."""


def _with_noise(node: Node, a: float, b: float) -> Conversion:
    """D = a x + b m completed by E = (x - alpha D) / sigma."""
    return a, b, (1 - node.alpha * a) / node.sigma, -node.alpha * b / node.sigma

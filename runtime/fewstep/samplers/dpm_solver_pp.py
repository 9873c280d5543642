"""DPM-Solver++ (Lu et al. 2022b): exponential integrators on the predicted data D; DPM-Solver++ 1 is DDIM."""

from collections.abc import Mapping
from typing import Literal

from fewstep.samplers.exponential import Weights, exact, midpoint, third_order_of
from fewstep.samplers.multistep import Multistep
from fewstep.samplers.singlestep import Singlestep, groups
from fewstep.samplers.tape import Solver

Second = Literal["midpoint", "exact"]
"""The weights of order 2: "midpoint" is the papers' default, "exact" what diffusers calls "heun"."""
SECOND: Mapping[Second, Weights] = {"midpoint": midpoint, "exact": exact}


def multistep(
    order: int = 2, second: Second = "midpoint", last_orders: tuple[int, ...] = (), compat: str | None = None
) -> Multistep:
    """DPM-Solver++ 1, 2M, 3M and above: one evaluation a step; `order` kept arrays.

    Orders 3 and above are exact. `compat="diffusers"` gives the third order of LuChengTHU/dpm-solver, k-diffusion and
    diffusers, which weigh the second derivative by half and converge with order 2
    (`fewstep.samplers.exponential.third_order_of`).
    """
    return Multistep(order, third_order_of(SECOND[second], compat), last_orders=last_orders)


def sde(
    order: int = 2, second: Second = "midpoint", last_orders: tuple[int, ...] = (), compat: str | None = None
) -> Multistep:
    """SDE-DPM-Solver++ 1, 2M, 3M: the same with the kernel 2 e^{-2 (h - u)} and noise; order 1 is DDIM(1) and DDPM.

    `compat="diffusers"`: besides the half weight, the sign of the 1/2 in diffusers' third order is wrong (pull request
    9104; -1/2 where k-diffusion's `sample_dpmpp_3m_sde` has +1/2).
    """
    return Multistep(order, third_order_of(SECOND[second], compat), rate=2.0, last_orders=last_orders)


def singlestep(order: int = 2, second: Second = "midpoint", compat: str | None = None) -> Solver:
    """DPM-Solver++ 2S, 3S: the nodes are taken in groups of `order`, and a group ends where it would without stages.

    Two kept arrays. The 3S "midpoint" of diffusers uses another weight at its second stage than LuChengTHU/dpm-solver
    does (1.2e-2 apart); `compat="diffusers"` gives it, and else both are exact from the second stage on.
    """
    return Singlestep(lambda steps, clean: groups(steps, order, clean), SECOND[second], compat=compat)


def sde_singlestep(order: int = 2, second: Second = "midpoint", compat: str | None = None) -> Solver:
    """SDE-DPM-Solver++ 2S: as `singlestep`, with noise at the stages too, as diffusers has it."""
    return Singlestep(
        lambda steps, clean: groups(steps, order, clean), SECOND[second], rate=2.0, compat=compat
    )

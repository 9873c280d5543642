"""DPM-Solver (Lu et al. 2022a): exponential integrators on the predicted noise E.

It cannot end at sigma = 0, where log rho is infinite: the step that does is one of first order.
"""

from fewstep.samplers.dpm_solver_pp import SECOND, Second
from fewstep.samplers.exponential import third_order_of
from fewstep.samplers.multistep import Multistep
from fewstep.samplers.singlestep import Singlestep, groups
from fewstep.samplers.tape import Solver


def multistep(
    order: int = 2, second: Second = "midpoint", last_orders: tuple[int, ...] = (), compat: str | None = None
) -> Multistep:
    """DPM-Solver 1, 2M, 3M and above; with exact weights this is DEIS in log rho. One evaluation a step.

    `compat="diffusers"` halves the weight of the second derivative in order 3, as `dpm_solver_pp.multistep`.
    """
    weights = third_order_of(SECOND[second], compat)
    return Multistep(order, weights, noise_form=True, last_orders=last_orders)


def sde(order: int = 2, second: Second = "midpoint", last_orders: tuple[int, ...] = ()) -> Multistep:
    """SDE-DPM-Solver 1 and 2M in the noise form: twice the score, and noise sigma' sqrt(e^{2h} - 1)."""
    return Multistep(order, SECOND[second], rate=2.0, noise_form=True, last_orders=last_orders)


def singlestep(order: int = 2, second: Second = "midpoint", compat: str | None = None) -> Solver:
    """DPM-Solver-2 and DPM-Solver-3 with the nodes of the schedule as stages; see `dpm_solver_pp.singlestep`."""
    return Singlestep(
        lambda steps, clean: groups(steps, order, clean), SECOND[second], noise_form=True, compat=compat
    )

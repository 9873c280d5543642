"""How good a sampler is for how many network evaluations, on a problem that is solved exactly.

    OMP_NUM_THREADS=1 python benchmarks/error_against_evaluations.py

Data: half N(-1, 0.3^2), half N(1, 0.3^2), with the exact denoiser; noise levels from rho = 14.6 (Stable Diffusion's largest)
to 0.03, uniform in lambda. Deterministic solvers are judged by the root mean square distance from the exact end of 65
trajectories of the probability-flow ODE, stochastic ones by the Wasserstein-1 distance of 20,000 samples from the
exact distribution (which at that number is 0.005 to 0.01 by chance alone).
Writes results/error_against_evaluations.json and .svg.
"""

import json
import math
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist

import numpy as np
from mixture import STD, Array, Compiled, exact

from fewstep.errors import FewstepError
from fewstep.samplers import (
    adams,
    ddim,
    ddpm,
    deis,
    dpm_solver,
    dpm_solver_pp,
    euler,
    runge_kutta,
    score_sde,
    straight,
)
from fewstep.samplers.node import Node
from fewstep.samplers.sa_solver import SASolver
from fewstep.samplers.tape import Solver
from fewstep.samplers.unipc import UniPC

RESULTS = Path(__file__).parent / "results"
LARGEST, SMALLEST, SAMPLES = 14.6, 0.03, 20_000
EVALUATIONS = (4, 6, 8, 12, 16, 24, 32, 48, 64)
BETA_MIN, BETA_MAX = 0.1, 20.0


def vp(rho: float) -> Node:
    """The variance-preserving node of a level."""
    scale = 1 / math.sqrt(1 + rho**2)
    return Node(scale, rho * scale, time_of(-math.log(rho)))


def ve(rho: float) -> Node:
    """The variance-exploding node."""
    return Node(1.0, rho)


def flow(rho: float) -> Node:
    """The flow node."""
    return flow_level(rho / (1 + rho))


def flow_level(sigma: float) -> Node:
    """The flow node of its own level."""
    return Node(1 - sigma, sigma)


def time_of(lam: float) -> float:
    """The time of the linear beta schedule (0.1 to 20) at half a log-SNR."""
    log = math.log1p(math.exp(-2 * lam))
    return (-BETA_MIN + math.sqrt(BETA_MIN**2 + 2 * (BETA_MAX - BETA_MIN) * log)) / (BETA_MAX - BETA_MIN)


RK = runge_kutta.runge_kutta
Case = tuple[Solver, Callable[[float], Node], int]
DETERMINISTIC: Mapping[str, Case] = {
    "DDIM = Euler = DPM-Solver 1": (ddim.ddim(), vp, 1),
    "PF-ODE Euler in t": (score_sde.probability_flow_euler(score_sde.linear_beta()), vp, 1),
    "Flow-Euler": (euler.euler(straight.FLOW), flow, 1),
    "Heun (EDM)": (RK(runge_kutta.HEUN_2), ve, 2),
    "Flow-Heun": (RK(runge_kutta.HEUN_2, frame=straight.FLOW), flow, 2),
    "rho-RK 3 (Kutta)": (RK(runge_kutta.KUTTA_3, ve), ve, 3),
    "RK4": (RK(runge_kutta.CLASSICAL_4, ve), ve, 4),
    "DPM-Solver-2": (dpm_solver.singlestep(2), vp, 1),
    "DPM-Solver-3": (dpm_solver.singlestep(3, "exact"), vp, 1),
    "DPM-Solver 2M": (dpm_solver.multistep(2), vp, 1),
    "DPM-Solver 3M = DEIS-3 log rho": (dpm_solver.multistep(3), vp, 1),
    "DEIS tAB-3": (deis.time(4, time_of), vp, 1),
    "LMS-4 = rho-AB": (adams.lms(4), ve, 1),
    "iPNDM": (adams.ipndm, vp, 1),
    "DPM-Solver++ 2S": (dpm_solver_pp.singlestep(2), vp, 1),
    "DPM-Solver++ 3S": (dpm_solver_pp.singlestep(3, "exact"), vp, 1),
    "DPM-Solver++ 2M": (dpm_solver_pp.multistep(2), vp, 1),
    "Flow-DPM-Solver++ 2M": (dpm_solver_pp.multistep(2), flow, 1),
    "DPM-Solver++ 3M": (dpm_solver_pp.multistep(3), vp, 1),
    "DPM-Solver++ 3M, diffusers": (dpm_solver_pp.multistep(3, compat="diffusers"), vp, 1),
    "UniPC-2": (UniPC(2), vp, 1),
    "UniPC-3": (UniPC(3), vp, 1),
}
STOCHASTIC: Mapping[str, Case] = {
    "DDPM = SDE-DPM-Solver++ 1": (ddpm.ddpm(), vp, 1),
    "DDIM eta 0.5": (ddim.ddim(0.5), vp, 1),
    "Euler-Maruyama": (score_sde.euler_maruyama(score_sde.linear_beta()), vp, 1),
    "reverse diffusion VE": (score_sde.reverse_diffusion_ve, ve, 1),
    "Euler-ancestral": (euler.euler_ancestral(), ve, 1),
    "SDE-DPM-Solver++ 2M": (dpm_solver_pp.sde(2), vp, 1),
    "SDE-DPM-Solver++ 3M": (dpm_solver_pp.sde(3), vp, 1),
    "Flow-SDE-DPM-Solver++ 2M": (dpm_solver_pp.sde(2), flow, 1),
    "SA-Solver": (SASolver(tau=lambda _: 0.8), vp, 1),
}


def compiled(case: Case, evaluations: int) -> Compiled | None:
    """The solver with that many evaluations, or None where it cannot have them."""
    solver, node, stages = case
    if evaluations % stages:
        return None
    rhos = np.geomspace(LARGEST, SMALLEST, evaluations // stages + 1)
    try:
        found = Compiled(solver, [node(float(rho)) for rho in rhos])
    except (FewstepError, ValueError):
        return None
    return found if len(found.table.rows) == evaluations else None


def ode_error(case: Case, evaluations: int) -> float | None:
    """Root mean square over trajectories that begin at evenly spread quantiles, in units of the data."""
    run = compiled(case, evaluations)
    if run is None:
        return None
    start, end = run.nodes[0], case[1](SMALLEST)
    quantiles = np.array([NormalDist().inv_cdf((k + 0.5) / 65) for k in range(65)])
    initial = start.alpha * LARGEST * quantiles
    difference = (run(initial) - exact(initial, start, end)) / end.alpha
    return float(np.sqrt(np.mean(difference**2)))


def sde_error(case: Case, evaluations: int) -> float | None:
    """The Wasserstein-1 distance of samples from the data with the noise that the last level leaves."""
    run = compiled(case, evaluations)
    if run is None:
        return None
    random = np.random.default_rng(3)
    start, end = run.nodes[0], case[1](SMALLEST)
    signs = random.choice([-1.0, 1.0], SAMPLES)
    initial = start.alpha * (signs + math.hypot(STD, LARGEST) * random.standard_normal(SAMPLES))
    samples = np.sort(run(initial, lambda: random.standard_normal(SAMPLES)) / end.alpha)
    return float(np.mean(np.abs(samples - mixture_quantiles(math.hypot(STD, SMALLEST)))))


def mixture_quantiles(std: float) -> Array:
    """Quantiles (k + 0.5) / SAMPLES of half N(-1, std^2), half N(1, std^2), by interpolation of its distribution."""
    x = np.linspace(-1 - 6 * std, 1 + 6 * std, 4001)
    low, high = NormalDist(-1, std), NormalDist(1, std)
    cdf = np.array([(low.cdf(float(v)) + high.cdf(float(v))) / 2 for v in x])
    return np.interp((np.arange(SAMPLES) + 0.5) / SAMPLES, cdf, x)


def plot(figures: Mapping[str, Mapping[str, Sequence[float | None]]], path: Path) -> None:
    """Two panels, error against evaluations, both logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "fewstep"  # the same figures give the same file
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(15, 6), layout="constrained")
    labels = ("RMS distance from the exact trajectory", "Wasserstein-1 distance from the data")
    for panel, (kind, curves), label in zip(panels, figures.items(), labels, strict=True):
        styles = [(colour, line) for line in ("-", "--", ":") for colour in plt.cm.tab10.colors[:8]]  # type: ignore[attr-defined]
        for (name, errors), (colour, line) in zip(curves.items(), styles, strict=False):
            points = [(n, e) for n, e in zip(EVALUATIONS, errors, strict=True) if e is not None]
            panel.plot(*zip(*points, strict=True), line, color=colour, marker=".", label=name, linewidth=1.2)
        panel.set(xscale="log", yscale="log", xlabel="network evaluations", ylabel=label, title=kind)
        panel.set_xticks(EVALUATIONS, [str(n) for n in EVALUATIONS], minor=False)
        panel.minorticks_off()
        panel.set_ylim(top=3)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Computes, plots and writes."""
    figures = {
        "deterministic": {name: [ode_error(c, n) for n in EVALUATIONS] for name, c in DETERMINISTIC.items()},
        "stochastic": {name: [sde_error(c, n) for n in EVALUATIONS] for name, c in STOCHASTIC.items()},
    }
    facts = {
        "what": "deterministic: RMS distance from the exact end; stochastic: Wasserstein-1 distance; null: not possible",
        "evaluations": EVALUATIONS,
        **figures,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "device": f"{platform.machine()} CPU",
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python benchmarks/{Path(sys.argv[0]).name}",
    }
    path = RESULTS / "error_against_evaluations.json"
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    plot(figures, path.with_suffix(".svg"))
    for kind, curves in figures.items():
        for name, errors in curves.items():
            print(f"{kind[:5]} {name:32s}", *("   -   " if e is None else f"{e:.1e}" for e in errors))


if __name__ == "__main__":
    main()

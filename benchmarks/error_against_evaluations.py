"""How good a sampler is for how many network evaluations, on a problem that is solved exactly.

    OMP_NUM_THREADS=1 python benchmarks/error_against_evaluations.py

Data: half N(-1, 0.3^2), half N(1, 0.3^2), with the exact denoiser; noise levels from rho = 14.6 (Stable Diffusion's largest)
to 0.03, uniform in lambda. Deterministic solvers are judged by the root mean square distance from the exact end of 65
trajectories of the probability-flow ODE, stochastic ones by the Wasserstein-1 distance of 20,000 samples from the
exact distribution (which at that number is 0.005 to 0.01 by chance alone).
Writes results/error_against_evaluations.json and .webp (as SVG its markers alone take 200 kB).
"""

import json
import math
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist

import numpy as np
from mixture import STD, Array, Compiled, exact
from solvers import DETERMINISTIC, STOCHASTIC, Case

from fewstep.errors import FewstepError

RESULTS = Path(__file__).parent / "results"
LARGEST, SMALLEST, SAMPLES = 14.6, 0.03, 20_000
EVALUATIONS = (4, 6, 8, 12, 16, 24, 32, 48, 64)


def compiled(case: Case, evaluations: int) -> Compiled | None:
    """The solver with that many evaluations, or None where it cannot have them."""
    steps, left = divmod(evaluations - case.first, case.stages)
    if left:
        return None
    rhos = [float(rho) for rho in np.geomspace(LARGEST, SMALLEST, steps + 1)]
    try:
        found = Compiled(case.solver(rhos), [case.node(rho) for rho in rhos])
    except FewstepError:
        return None
    return found if len(found.table.rows) == evaluations else None


def ode_error(case: Case, evaluations: int) -> float | None:
    """Root mean square over trajectories that begin at evenly spread quantiles, in units of the data."""
    run = compiled(case, evaluations)
    if run is None:
        return None
    start, end = run.nodes[0], case.node(SMALLEST)
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
    start, end = run.nodes[0], case.node(SMALLEST)
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
    """A panel a family, error against evaluations, both logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(2, 2, figsize=(15, 11), layout="constrained")
    styles = [(colour, line) for line in ("-", "--", ":") for colour in plt.cm.tab10.colors[:8]]  # type: ignore[attr-defined]
    for panel, (family, curves) in zip(panels.flat, figures.items(), strict=True):
        for (name, errors), (colour, line) in zip(curves.items(), styles, strict=False):
            points = [(n, e) for n, e in zip(EVALUATIONS, errors, strict=True) if e is not None]
            panel.plot(*zip(*points, strict=True), line, color=colour, marker=".", label=name, linewidth=1.2)
        distance = "Wasserstein-1 distance from the data" if family == "stochastic" else "RMS error"
        panel.set(xscale="log", yscale="log", xlabel="network evaluations", ylabel=distance, title=family)
        panel.set_xticks(EVALUATIONS, [str(n) for n in EVALUATIONS], minor=False)
        panel.minorticks_off()
        panel.set_ylim((2e-3, 3) if family == "stochastic" else (1e-5, 3))
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=80, pil_kwargs={"quality": 80, "method": 6})


def main() -> None:
    """Computes, plots and writes."""
    figures = {
        family: {name: [ode_error(case, n) for n in EVALUATIONS] for name, case in cases.items()}
        for family, cases in DETERMINISTIC.items()
    }
    figures["stochastic"] = {
        name: [sde_error(case, n) for n in EVALUATIONS] for name, case in STOCHASTIC.items()
    }
    facts = {
        "what": "RMS distance from the exact end of the trajectory; of `stochastic` the Wasserstein-1 distance; null: not possible",
        "evaluations": EVALUATIONS,
        "errors": figures,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "device": f"{platform.machine()} CPU",
        "threads": 1,
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python benchmarks/{Path(sys.argv[0]).name}",
    }
    path = RESULTS / "error_against_evaluations.json"
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    plot(figures, path.with_suffix(".webp"))
    for kind, curves in figures.items():
        for name, errors in curves.items():
            print(f"{kind[:10]:10} {name:32s}", *("   -   " if e is None else f"{e:.1e}" for e in errors))


if __name__ == "__main__":
    main()

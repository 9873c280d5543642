"""Every line of the table of solvers in docs/samplers.md is compiled and counted."""

import itertools
import math
import re
from pathlib import Path
from typing import Any

import pytest

from fewstep.samplers import (
    adams,
    consistency,
    ddim,
    ddpm,
    deis,
    dpm_solver,
    dpm_solver_pp,
    euler,
    prediction,
    runge_kutta,
    sa_solver,
    score_sde,
    unipc,
)
from fewstep.samplers.diffusers import BUILDERS
from fewstep.samplers.node import Node
from fewstep.samplers.tape import compile_solver

PAGE = (Path(__file__).parents[3] / "docs" / "samplers.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+?) \| `(.+?)` \| (\d?) ?\| (\d) \| (\d) \| (yes|no) \|$", PAGE, re.MULTILINE)
STEPS, LARGEST, SMALLEST = 24, 14.6, 0.03


def time_of(lam: float) -> float:
    return (-0.1 + math.sqrt(0.01 + 39.8 * math.log1p(math.exp(-2 * lam)))) / 19.9


def vp(rho: float) -> Node:
    scale = 1 / math.sqrt(1 + rho**2)
    return Node(scale, rho * scale, time_of(-math.log(rho)))


def ve(rho: float) -> Node:
    return Node(1.0, rho)


RHOS = [LARGEST * (SMALLEST / LARGEST) ** (i / STEPS) for i in range(STEPS + 1)]
NAMES: dict[str, Any] = {
    "adams": adams, "consistency": consistency, "ddim": ddim, "ddpm": ddpm, "deis": deis, "dpm_solver": dpm_solver,
    "dpm_solver_pp": dpm_solver_pp, "euler": euler, "runge_kutta": runge_kutta, "sa_solver": sa_solver,
    "score_sde": score_sde, "unipc": unipc, "beta": score_sde.linear_beta(), "time_of": time_of, "at": ve,
    "middles": [ve(math.sqrt(a * b)) for a, b in itertools.pairwise(RHOS)],
    "intermediate": [vp(0.7 * rho) for rho in RHOS[1:]],
}  # fmt: skip
EXPLODING = ("runge_kutta", "reverse_diffusion_ve", "euler.", "consistency.consistency")


@pytest.mark.parametrize(("name", "code", "order", "evaluations", "arrays", "stochastic"), ROWS)
def test_the_page_counts_right(
    name: str, code: str, order: str, evaluations: str, arrays: str, stochastic: str
) -> None:
    node = ve if any(part in code for part in EXPLODING) else vp
    solver = eval(code, NAMES)  # the page is ours
    table = compile_solver(solver, [node(rho) for rho in RHOS], prediction.epsilon, (name, "epsilon"))
    assert len(table.rows) == STEPS * int(evaluations)
    assert table.buffers == int(arrays)
    assert table.stochastic == (stochastic == "yes")


def test_the_table_is_all_there() -> None:
    assert len(ROWS) >= 45
    assert f"knows {len(BUILDERS)} schedulers" in PAGE

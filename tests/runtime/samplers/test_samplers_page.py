"""Every line of the two tables of docs/samplers.md is compiled: all solvers, all noise schedules, and solvers on schedules."""

import itertools
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.noise import gaussian
from fewstep.samplers import (
    SAMPLERS,
    adams,
    consistency,
    ddim,
    ddpm,
    deis,
    dpm_solver,
    dpm_solver_pp,
    euler,
    frames,
    pndm,
    prediction,
    runge_kutta,
    sa_solver,
    schedules,
    score_sde,
    unipc,
)
from fewstep.samplers.diffusers import BUILDERS
from fewstep.samplers.node import Node
from fewstep.samplers.schedules.beta import continuous_vp, scaled_linear_betas
from fewstep.samplers.tape import compile_solver
from fewstep.step_table import StepTable

PAGE = (Path(__file__).parents[3] / "docs" / "samplers.md").read_text(encoding="utf-8")
SOLVERS = re.findall(r"^\| (.+?) \| `(.+?)` \| (\d?) ?\| (\d) \| (\d) \| (yes|no) \|$", PAGE, re.MULTILINE)
SCHEDULES = re.findall(r"^\| ([^|]+) \| `([^|]+)` \| (\w+) \|$", PAGE, re.MULTILINE)
STEPS, LARGEST, SMALLEST = 24, 14.6, 0.03


def time_of(lam: float) -> float:
    return (-0.1 + math.sqrt(0.01 + 39.8 * math.log1p(math.exp(-2 * lam)))) / 19.9


def vp(rho: float) -> Node:
    scale = 1 / math.sqrt(1 + rho**2)
    return Node(scale, rho * scale, time_of(-math.log(rho)))


def ve(rho: float) -> Node:
    return Node(1.0, rho)


def solver_of(code: str, nodes: Sequence[Node]) -> Any:
    """The solver that a line of the page writes, for those nodes."""
    pairs = [(a.rho, b.rho) for a, b in itertools.pairwise(nodes) if a.alpha and b.sigma]
    names = {
        "adams": adams, "consistency": consistency, "ddim": ddim, "ddpm": ddpm, "deis": deis, "frames": frames,
        "dpm_solver": dpm_solver, "dpm_solver_pp": dpm_solver_pp, "euler": euler, "runge_kutta": runge_kutta,
        "sa_solver": sa_solver, "pndm": pndm, "prediction": prediction, "score_sde": score_sde, "unipc": unipc, "beta": score_sde.linear_beta(),
        "time_of": time_of, "at": ve, "at_time": lambda t: score_sde.vp_nodes([t], continuous_vp())[0],
        "middles": [ve(math.sqrt(a * b)) for a, b in pairs],
        "intermediate": [vp(0.7 * b.rho) if b.sigma else b for b in nodes[1:]],
    }  # fmt: skip
    return eval(code, names)  # the page is ours


def nodes_of(code: str, steps: int) -> list[Node]:
    """The nodes of a schedule as a line of the page writes it."""
    modules = (
        schedules.beta,
        schedules.edm,
        schedules.flow,
        schedules.sigmas,
        schedules.spacing,
        schedules.trigflow,
    )
    names = {name: value for module in (*modules, score_sde) for name, value in vars(module).items()}
    nodes: list[Node] = eval(
        code, {**names, "np": np, "betas": scaled_linear_betas(0.00085, 0.012, 1000), "steps": steps}
    )
    return nodes


EXPLODING_ALONE = (
    "reverse_diffusion_ve",
    "euler_ancestral()",
    "euler_churn",
    "dpm2",
    "consistency.consistency",
)
PRESERVING_ALONE = ("ddpm", "euler_maruyama", "reverse_diffusion_vp", "vp_time", "tcd")
IN_TIME = ("euler_maruyama", "reverse_diffusion_vp", "vp_time")


@pytest.mark.parametrize(("name", "code", "order", "evaluations", "arrays", "stochastic"), SOLVERS)
def test_the_page_counts_right(
    name: str, code: str, order: str, evaluations: str, arrays: str, stochastic: str
) -> None:
    node = ve if any(part in code for part in EXPLODING_ALONE) else vp
    nodes = [node(LARGEST * (SMALLEST / LARGEST) ** (i / STEPS)) for i in range(STEPS + 1)]
    table = compile_solver(solver_of(code, nodes), nodes, prediction.epsilon, (name, "epsilon"))
    assert len(table.rows) == STEPS * int(evaluations) + ("plms" in code)
    assert table.buffers == int(arrays)
    assert table.stochastic == (stochastic == "yes")


SUMS = {
    "preserving": lambda n: n.alpha**2 + n.sigma**2,
    "exploding": lambda n: n.alpha,
    "flow": lambda n: n.alpha + n.sigma,
    "TrigFlow": lambda n: n.alpha**2 + (n.sigma / 0.5) ** 2,
}


@pytest.mark.parametrize(("name", "code", "frame"), SCHEDULES)
@pytest.mark.parametrize("steps", [1, 7, 60])
def test_the_levels_of_a_schedule_fall_in_its_frame(name: str, code: str, frame: str, steps: int) -> None:
    nodes = nodes_of(code, steps)
    assert len(nodes) == steps + 1
    np.testing.assert_allclose([SUMS[frame](node) for node in nodes], 1.0, rtol=1e-12)
    assert all(a.lam < b.lam for a, b in itertools.pairwise(nodes))


def fit(solver: str, schedule: str, frame: str) -> bool:
    """Whether the solver is one for the levels of the schedule."""
    if "ancestral_flow" in solver:
        return frame == "flow"
    if any(part in solver for part in EXPLODING_ALONE):
        return frame == "exploding"
    if any(part in solver for part in IN_TIME):
        return "continuous" in schedule
    if any(part in solver for part in PRESERVING_ALONE):
        return frame == "preserving"
    in_rho = solver.startswith(("euler.", "runge_kutta", "adams.", "pndm"))  # divide by alpha
    return not in_rho or (frame in ("preserving", "exploding") and "zero" not in schedule)


PAIRS = [(s, n) for s in SOLVERS for n in SCHEDULES if fit(s[1], n[0], n[2])]


@given(st.sampled_from(PAIRS), st.integers(1, 60))
@settings(max_examples=80)
def test_every_solver_goes_with_every_schedule_that_it_is_for(pair: Any, steps: int) -> None:
    """Finite (a table refuses NaN), a row an evaluation, no more arrays than the page says, and the same again from JSON."""
    (name, code, _, evaluations, arrays, stochastic), (schedule, written, _) = pair
    steps = (
        max(steps, 21) if "reverse_diffusion_vp" in code else steps
    )  # it takes sqrt(1 - beta h), and beta is 20
    nodes = nodes_of(written, steps)
    table = compile_solver(solver_of(code, nodes), nodes, prediction.sample, (name, schedule))
    assert steps <= len(table.rows) <= steps * int(evaluations) + ("plms" in code)
    assert table.buffers <= int(arrays)
    assert stochastic == "yes" or not table.stochastic
    assert StepTable.from_dict(json.loads(json.dumps(table.to_dict()))) == table
    again = compile_solver(solver_of(code, nodes), nodes, prediction.sample, (name, schedule))
    assert (again, hash(again)) == (table, hash(table))


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "checkpoint" / "scheduler"
    folder.mkdir(parents=True)
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    (folder / "scheduler_config.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^## Use$.*?^```python$(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"model": lambda x, t: np.tanh(x), "noise": gaussian((1, 2, 4, 4), 3)}
    exec(code, names)  # noqa: S102 - the page is ours
    assert capsys.readouterr().out.startswith(
        "flow-dpm++3m-14: 14 evaluations, predicts flow, keeps 3 arrays"
    )
    assert names["latents"].shape == (1, 2, 4, 4)


def test_the_page_names_every_sampler_of_the_command_line() -> None:
    named = re.findall(
        r"flow-[\w+-]+|(?<=[ ,])-[a-z][\w+-]+",
        PAGE[PAGE.index("`--sampler` of") : PAGE.index("## All solvers")],
    )
    assert {name if name.startswith("flow") else f"flow{name}" for name in named} >= set(SAMPLERS)


def test_the_tables_are_all_there() -> None:
    assert len(SOLVERS) == 48
    assert len(SCHEDULES) == 14
    assert f"knows {len(BUILDERS)} schedulers" in PAGE

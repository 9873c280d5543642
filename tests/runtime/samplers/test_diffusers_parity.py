"""The real diffusers schedulers, run free on a nonlinear toy network, beside their step tables.

With the float32 casts of diffusers widened to float64 the latents agree to rounding. Its code as it is, in float32,
differs by what its own float32 costs.
"""

import importlib
import itertools
import json
import math
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fewstep.loop import run
from fewstep.samplers.diffusers import Options, from_diffusers
from fewstep.step_table import StepTable

pytestmark = [
    # numpy functions on tensors, whose torch side numpy 2 finds outdated
    pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning"),
    # its notices of deprecated settings, which checkpoints carry all the same
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    # schedulers divide by a sigma of 0 and take its log in branches whose result they then drop
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
Array = npt.NDArray[np.float64]
SHAPE = (1, 4, 8, 8)
DATA = Path(__file__).parents[2] / "data"
PROBED = json.loads((DATA / "probed_step_tables.json").read_text())["tables"]
CONFIGS = json.loads((DATA / "scheduler_configs.json").read_text())["cases"]
CASES = [pytest.param(case, id=case["name"]) for case in (*PROBED, *CONFIGS)]


class Widened(types.ModuleType):
    """A module in which float32 means float64."""

    def __init__(self, module: types.ModuleType, float64: object) -> None:
        super().__init__(module.__name__)
        self.module, self.float32 = module, float64

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)


FILES = {
    "DDIM": "ddim", "DDPM": "ddpm", "PNDM": "pndm", "IPNDM": "ipndm", "LMSDiscrete": "lms_discrete",
    "EulerDiscrete": "euler_discrete", "EulerAncestralDiscrete": "euler_ancestral_discrete",
    "HeunDiscrete": "heun_discrete", "KDPM2Discrete": "k_dpm_2_discrete",
    "KDPM2AncestralDiscrete": "k_dpm_2_ancestral_discrete", "DPMSolverMultistep": "dpmsolver_multistep",
    "DPMSolverSinglestep": "dpmsolver_singlestep", "DEISMultistep": "deis_multistep",
    "UniPCMultistep": "unipc_multistep", "SASolver": "sasolver", "LCM": "lcm", "TCD": "tcd", "SCM": "scm",
    "FlowMatchEulerDiscrete": "flow_match_euler_discrete", "FlowMatchHeunDiscrete": "flow_match_heun_discrete",
    "FlowMatchLCM": "flow_match_lcm", "LTXEulerAncestralRF": "ltx_euler_ancestral_rf", "EDMEuler": "edm_euler",
    "EDMDPMSolverMultistep": "edm_dpmsolver_multistep", "CMStochasticIterative": "consistency_models",
    "CogVideoXDDIM": "ddim_cogvideox", "CogVideoXDPM": "dpm_cogvideox", "DDIMParallel": "ddim_parallel",
    "DDPMParallel": "ddpm_parallel", "DDPMWuerstchen": "ddpm_wuerstchen",
}  # fmt: skip
SCHEDULES = (
    "sigmas",
    "alphas_cumprod",
    "final_alpha_cumprod",
    "one",
    "alphas",
    "betas",
    "alpha_t",
    "sigma_t",
    "lambda_t",
)


@pytest.fixture(params=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    before = torch.get_default_dtype()
    chosen: torch.dtype = getattr(torch, request.param)
    torch.set_default_dtype(chosen)
    yield chosen
    torch.set_default_dtype(before)


def scheduler(
    case: dict[str, Any], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, draws: list[list[Array]]
) -> Any:
    """The scheduler of a case; noise that a step draws is appended to the last list of `draws`."""
    name, steps = case["config"]["_class_name"], case["steps"]
    module = importlib.import_module(
        f"diffusers.schedulers.scheduling_{FILES[name.removesuffix('Scheduler')]}"
    )
    random = np.random.default_rng(1)

    def draw(shape: Any, **_: object) -> torch.Tensor:
        noise = torch.from_numpy(random.standard_normal(tuple(shape))).to(dtype)
        draws[-1].append(noise.double().numpy())
        return noise

    monkeypatch.setattr(module, "randn_tensor", draw, raising=False)
    if dtype == torch.float64:
        base = importlib.import_module("diffusers.schedulers.scheduling_flow_match_euler_discrete")
        for widened in (module, base):  # LTX takes its levels from the second
            monkeypatch.setattr(widened, "torch", Widened(torch, torch.float64))
            monkeypatch.setattr(widened, "np", Widened(np, np.float64), raising=False)
    made = getattr(module, name).from_config(case["config"])
    extra = {"intermediate_timesteps": None} if name == "SCMScheduler" and steps != 2 else {}
    made.set_timesteps(steps, **extra, **case.get("set_timesteps", {}))
    if dtype == torch.float64:
        for key in (*SCHEDULES, *(["timesteps"] if name == "SCMScheduler" else [])):
            value = getattr(made, key, None)
            if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
                setattr(made, key, value.double())
    return made


def network(i: int, x: Array) -> Array:
    """Nonlinear, and mixes positions."""
    y = np.tanh(0.7 * x + 0.3 * np.roll(x, 1, -1) - 0.2 * np.roll(x, 1, -2) + 0.1 * i)
    output: Array = y + 0.25 * np.sin(1.3 * x[..., ::-1, :] + i)
    return output


INTEGER_TIMESTEPS = ("DDIM", "DDPMS", "DDPMP", "PNDM", "IPNDM", "SASolver", "CogVideoX")
ENDS_IN_TIMESTEPS = ("SCM", "DDPMWuerstchen")  # the timesteps of these hold the end of the last step too


def free_run(
    made: Any, name: str, initial: Array, dtype: torch.dtype, case: dict[str, Any], draws: list[list[Array]]
) -> list[Array]:
    """x_1, x_2, ... of diffusers; noise is appended to a list of `draws` a step."""
    x, latents, data = torch.from_numpy(initial).to(dtype), [], None
    for i in range(len(made.timesteps) - name.startswith(ENDS_IN_TIMESTEPS)):
        draws.append([])
        t = made.timesteps[i]
        seen = made.scale_model_input(x, t) if hasattr(made, "scale_model_input") else x
        m = torch.from_numpy(network(i, seen.double().numpy())).to(dtype)
        t = int(t) if name.startswith(INTEGER_TIMESTEPS) else t
        if name == "CogVideoXDPMScheduler":
            x, data = made.step(m, data, t, int(made.timesteps[i - 1]) if i else None, x)
        else:
            t = made.timesteps[i : i + 1] if name == "DDPMWuerstchenScheduler" else t
            x = made.step(m, t, x, return_dict=False, **case.get("step", {}))[0]
        latents.append(x.double().numpy())
    return latents


def table_run(table: StepTable, initial: Array, draws: list[list[Array]]) -> list[Array]:
    """The rows in float64; a row that uses noise takes what diffusers drew last in the same step."""
    state, latents = [initial], []
    for i, (row, drawn) in enumerate(zip(table.rows, draws, strict=True)):
        m = network(i, row.input_scale * state[0])
        n = drawn[-1] if row.noise else np.zeros(SHAPE)
        amounts = row.noise or (0.0,) * len(row.output)
        state = [
            sum((c * s for c, s in zip(line, state, strict=True)), b * m + k * n)
            for line, b, k in zip(row.state, row.output, amounts, strict=True)
        ]
        latents.append(state[0])
    return latents


def options(case: dict[str, Any]) -> Options:
    """What the pipeline gave."""
    step, given = case.get("step", {}), case.get("options", {})
    sigmas = tuple(given["sigmas"]) if "sigmas" in given else None
    return Options(step.get("eta"), step.get("s_churn", 0.0), given.get("tokens"), given.get("mu"), sigmas)


@pytest.mark.parametrize("case", CASES)
def test_the_float32_loop_loses_no_more_than_rounding(case: dict[str, Any]) -> None:
    """2e-6 of the largest latent, whatever the sampler: kept arrays are forecasts, which do not cancel."""
    table, random = from_diffusers(case["config"], case["steps"], options(case)), np.random.default_rng(0)
    streams = random.standard_normal((1 + len(table.rows), *SHAPE)).astype(np.float32)
    calls = itertools.count()

    def model(x: npt.NDArray[np.float32], _timestep: float) -> npt.NDArray[np.float32]:
        return network(next(calls), x.astype(np.float64)).astype(np.float32)

    initial, draws = streams[0] * table.initial_scale, [[n.astype(np.float64)] for n in streams[1:]]
    found = [x.copy() for _, x in run(table, lambda stream: streams[stream], model)]
    for x, expected in zip(found, table_run(table, initial.astype(np.float64), draws), strict=True):
        largest = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(x, expected, rtol=0, atol=2e-6 * largest)


@pytest.mark.parametrize("case", CASES)
def test_diffusers_runs_as_its_table_says(
    case: dict[str, Any], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, draws = case["config"]["_class_name"], list[list[Array]]()
    made = scheduler(case, dtype, monkeypatch, draws)
    table = from_diffusers(case["config"], case["steps"], options(case))
    initial = np.random.default_rng(0).standard_normal(SHAPE) * min(table.initial_scale, 15.0)
    expected = free_run(made, name, initial, dtype, case, draws)
    assert len(expected) == len(table.rows)
    tolerance = 1e-11 if dtype == torch.float64 else 2e-4
    for found, latents in zip(table_run(table, initial, draws), expected, strict=True):
        large = max(1.0, float(np.abs(latents).max()) / 100)  # from alpha = 0.01 epsilon is worth 100
        np.testing.assert_allclose(found, latents, rtol=0, atol=large * tolerance)
    if not name.startswith(("SCM", "LTX")):
        told = np.array([float(t) for t in made.timesteps])
        # diffusers cuts respaced timesteps to whole numbers, and rounding may put one on the other side
        cut = 1.01 if any(key.startswith("use_") for key in case["config"]) else 1e-3
        np.testing.assert_allclose(
            [row.timestep for row in table.rows], told[: len(table.rows)], rtol=2e-4, atol=cut
        )
        scale = float(getattr(made, "init_noise_sigma", 1.0))
        assert math.isclose(table.initial_scale, scale, rel_tol=2e-4)

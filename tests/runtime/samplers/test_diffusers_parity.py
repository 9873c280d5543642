"""The real diffusers schedulers, run free on a nonlinear toy network, beside their step tables.

With the float32 casts of diffusers widened to float64 the latents agree to rounding. Its code as it is, in float32,
differs by what its own float32 costs.
"""

import importlib
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
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
PROBED = json.loads((Path(__file__).parents[2] / "data" / "probed_step_tables.json").read_text())["tables"]


def case(name: str, steps: int, **config: Any) -> Any:
    described = " ".join(f"{k}={v}" for k, v in config.items() if k not in SD)
    return pytest.param({"_class_name": name, **config}, steps, {}, id=f"{name} {steps} {described}")


CASES = [
    *(pytest.param(e["config"], e["steps"], e["step"], id=e["name"]) for e in PROBED),
    *(case("DDIMScheduler", 7, **SD, clip_sample=False, timestep_spacing=s) for s in ("trailing", "linspace")),
    case("DDIMScheduler", 6, **SD, clip_sample=False, rescale_betas_zero_snr=True, prediction_type="v_prediction"),
    *(case("DDPMScheduler", 6, clip_sample=False, beta_schedule=b, prediction_type="v_prediction") for b in ("squaredcos_cap_v2", "sigmoid")),
    case("DDPMScheduler", 6, **SD, clip_sample=False, timestep_spacing="trailing", variance_type="fixed_large"),
    *(
        case("DPMSolverMultistepScheduler", 9, **SD, solver_order=3, timestep_spacing=s, steps_offset=1)
        for s in ("leading", "trailing")
    ),
    *(
        case("DPMSolverMultistepScheduler", 16, **SD, **{f"use_{s}": True})
        for s in ("exponential_sigmas", "beta_sigmas", "lu_lambdas")
    ),
    case("DPMSolverMultistepScheduler", 16, **SD, euler_at_final=True, final_sigmas_type="sigma_min"),
    case("DPMSolverMultistepScheduler", 6, **SD, rescale_betas_zero_snr=True, prediction_type="v_prediction"),
    case("DPMSolverMultistepScheduler", 6, beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1),
    case("DPMSolverMultistepScheduler", 6, **SD, algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min"),
    *(case("DPMSolverSinglestepScheduler", n, **SD, solver_order=3) for n in (6, 7, 8)),
    case("DPMSolverSinglestepScheduler", 7, **SD, algorithm_type="sde-dpmsolver++"),
    case("DPMSolverSinglestepScheduler", 6, **SD, use_karras_sigmas=True, final_sigmas_type="sigma_min"),
    *(case("DEISMultistepScheduler", 9, **SD, use_karras_sigmas=True, solver_order=n) for n in (2, 3)),
    *(case("UniPCMultistepScheduler", 9, **SD, solver_order=3, predict_x0=p) for p in (True,)),
    case("UniPCMultistepScheduler", 9, **SD, predict_x0=False, final_sigmas_type="sigma_min"),
    case("UniPCMultistepScheduler", 9, **SD, use_karras_sigmas=True, disable_corrector=[0, 1]),
    case("SASolverScheduler", 9, **SD, predictor_order=3, corrector_order=4),
    case("SASolverScheduler", 9, **SD, use_karras_sigmas=True),
    *(case("EulerDiscreteScheduler", 6, **SD, timestep_spacing=s, steps_offset=1) for s in ("leading", "trailing")),
    *(
        case("EulerDiscreteScheduler", 6, **SD, **{f"use_{s}_sigmas": True}, prediction_type="v_prediction")
        for s in ("karras", "exponential", "beta")
    ),
    case("EulerDiscreteScheduler", 6, **SD, final_sigmas_type="sigma_min", sigma_min=0.1, use_karras_sigmas=True),
    case("EulerDiscreteScheduler", 6, **SD, interpolation_type="log_linear"),
    case("EulerDiscreteScheduler", 6, **SD, timestep_type="continuous", prediction_type="v_prediction"),
    case("EulerAncestralDiscreteScheduler", 6, **SD, rescale_betas_zero_snr=True, prediction_type="v_prediction"),
    case("HeunDiscreteScheduler", 6, **SD, use_karras_sigmas=True, prediction_type="v_prediction"),
    case("HeunDiscreteScheduler", 6, beta_schedule="exp", prediction_type="v_prediction"),
    *(case(f"KDPM2{s}DiscreteScheduler", 6, **SD, use_karras_sigmas=True) for s in ("", "Ancestral")),
    case("LMSDiscreteScheduler", 6, **SD, use_karras_sigmas=True, prediction_type="v_prediction"),
    case("PNDMScheduler", 7, **SD, skip_prk_steps=True, timestep_spacing="trailing", prediction_type="v_prediction"),
    case("FlowMatchEulerDiscreteScheduler", 6, shift=3.0, shift_terminal=0.1),
    case("FlowMatchEulerDiscreteScheduler", 6, shift=3.0, use_karras_sigmas=True),
    case("LCMScheduler", 3, prediction_type="sample"),
    case("TCDScheduler", 3, prediction_type="sample"),
    case("EDMEulerScheduler", 6, sigma_schedule="exponential", prediction_type="v_prediction"),
    case("EDMDPMSolverMultistepScheduler", 16, solver_order=3),
]  # fmt: skip


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
    config: dict[str, Any],
    steps: int,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
    draws: list[torch.Tensor],
) -> Any:
    """The scheduler of a configuration, whose noise is appended to `draws` as it is drawn."""
    name = config["_class_name"]
    module = importlib.import_module(
        f"diffusers.schedulers.scheduling_{FILES[name.removesuffix('Scheduler')]}"
    )
    random = np.random.default_rng(1)

    def draw(shape: Any, **_: object) -> torch.Tensor:
        draws.append(torch.from_numpy(random.standard_normal(tuple(shape))).to(dtype))
        return draws[-1]

    monkeypatch.setattr(module, "randn_tensor", draw, raising=False)
    if dtype == torch.float64:
        base = importlib.import_module("diffusers.schedulers.scheduling_flow_match_euler_discrete")
        for widened in (module, base):  # LTX takes its levels from the second
            monkeypatch.setattr(widened, "torch", Widened(torch, torch.float64))
            monkeypatch.setattr(widened, "np", Widened(np, np.float64), raising=False)
    made = getattr(module, name)(**{k: v for k, v in config.items() if k != "_class_name"})
    extra = {"intermediate_timesteps": None} if name == "SCMScheduler" and steps != 2 else {}
    made.set_timesteps(steps, **extra)
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


INTEGER_TIMESTEPS = {"DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "IPNDMScheduler", "SASolverScheduler"}


def free_run(made: Any, name: str, initial: Array, dtype: torch.dtype, step: dict[str, float]) -> list[Array]:
    x, latents = torch.from_numpy(initial).to(dtype), []
    evaluations = len(made.timesteps) - (name == "SCMScheduler")
    for i, t in enumerate(made.timesteps[:evaluations]):
        seen = made.scale_model_input(x, t) if hasattr(made, "scale_model_input") else x
        m = torch.from_numpy(network(i, seen.double().numpy())).to(dtype)
        t = int(t) if name in INTEGER_TIMESTEPS else t
        x = made.step(m, t, x, return_dict=False, **step)[0]
        latents.append(x.double().numpy())
    return latents


def table_run(table: StepTable, initial: Array, draws: list[Array]) -> list[Array]:
    """The rows in float64; every row that uses noise takes the next draw that diffusers used."""
    state, latents, left = [initial], [], iter(draws)
    for i, row in enumerate(table.rows):
        m = network(i, row.input_scale * state[0])
        n = next(left) if row.noise else np.zeros(SHAPE)
        drawn = row.noise or (0.0,) * len(row.output)
        state = [
            sum((c * s for c, s in zip(line, state, strict=True)), b * m + k * n)
            for line, b, k in zip(row.state, row.output, drawn, strict=True)
        ]
        latents.append(state[0])
    return latents


@pytest.mark.parametrize(("config", "steps", "step"), CASES)
def test_diffusers_runs_as_its_table_says(
    config: dict[str, Any],
    steps: int,
    step: dict[str, float],
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, draws = config["_class_name"], list[torch.Tensor]()
    made = scheduler(config, steps, dtype, monkeypatch, draws)
    options = Options(eta=step.get("eta"), churn=step.get("s_churn", 0.0))
    table = from_diffusers(config, steps, options)
    initial = np.random.default_rng(0).standard_normal(SHAPE) * min(table.initial_scale, 15.0)
    expected = free_run(made, name, initial, dtype, step)
    assert len(expected) == len(table.rows)
    per_row = evaluations_of_draws(table, name, [d.double().numpy() for d in draws])
    tolerance = 1e-11 if dtype == torch.float64 else 2e-4
    for found, latents in zip(table_run(table, initial, per_row), expected, strict=True):
        np.testing.assert_allclose(found, latents, rtol=0, atol=tolerance)
    if not name.startswith(("SCM", "LTX")):
        told = np.array([float(t) for t in made.timesteps])
        # diffusers cuts respaced timesteps to whole numbers, and rounding may put one on the other side
        cut = 1.01 if any(key.startswith("use_") for key in config) else 1e-3
        np.testing.assert_allclose(
            [row.timestep for row in table.rows], told[: len(table.rows)], rtol=2e-4, atol=cut
        )
        scale = float(getattr(made, "init_noise_sigma", 1.0))
        assert math.isclose(table.initial_scale, scale, rel_tol=2e-4)


def evaluations_of_draws(table: StepTable, name: str, draws: list[Array]) -> list[Array]:
    """The draws that some row uses: most schedulers draw in every step, whether they use it or not."""
    if len(draws) in (0, sum(bool(row.noise) for row in table.rows)):
        return draws
    assert len(draws) == len(table.rows), name
    return [draw for draw, row in zip(draws, table.rows, strict=True) if row.noise]

"""The step table of a diffusers scheduler, from its configuration alone: a checkpoint keeps its own sampler.

Tables give what diffusers 0.39 computes, in float64, its differences from the papers included; `compat=None` in the
options gives the exact method instead. The differences, and where they are made here:

- third order of DPM-Solver(++) multistep: half the second derivative, and a wrong sign for the SDE
  (`fewstep.samplers.exponential.third_order_of`);
- third order "midpoint" of DPM-Solver(++) singlestep: another second stage (`dpm_solver_pp.singlestep`);
- DEIS and SA-Solver with Karras, exponential, beta or flow sigmas: the last sigma is repeated, so the last evaluation does
  nothing and the run does not end at 0 (`grids.with_last`);
- FlowMatchEuler and its kin shift the smallest sigma twice, so that 4 steps end ..., 0.009, 0 (`flow.flow_levels`);
- DDIM and PNDM step from t to t - T // N, which need not be the next timestep (`discrete`);
- DDPM adds noise in its last step unless that is at t = 0 (`discrete.ddpm_table`);
- SDE-DPM-Solver++ 2M of CogVideoX goes to t - T // N as DDIM does, and is of first order where that is below 0 (`cogvideox`).

Where diffusers gives NaN (UniPC "bh1" that ends at 0) the table has the limit, or is refused if there is none. One step of EDM on
exponential sigmas begins at the largest one; diffusers begins at the smallest, from which nothing can be drawn.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from fewstep.errors import FewstepError
from fewstep.samplers.diffusers import cogvideox, discrete, dpm, edm, exploding, few_step, flow, wuerstchen
from fewstep.samplers.diffusers.config import Config
from fewstep.samplers.diffusers.options import Options
from fewstep.step_table import StepTable
from fewstep.strict_json import load_json, no_constant

__all__ = ["BUILDERS", "Options", "from_diffusers"]

Builder = Callable[[Config, int, Options], StepTable]
BUILDERS: Mapping[str, Builder] = {
    "CMStochasticIterativeScheduler": edm.consistency_table,
    "CogVideoXDDIMScheduler": cogvideox.ddim_table,
    "CogVideoXDPMScheduler": cogvideox.dpm_table,
    "DDIMParallelScheduler": discrete.ddim_table,
    "DDIMScheduler": discrete.ddim_table,
    "DDPMParallelScheduler": discrete.ddpm_table,
    "DDPMScheduler": discrete.ddpm_table,
    "DDPMWuerstchenScheduler": wuerstchen.table,
    "DEISMultistepScheduler": dpm.deis_table,
    "DPMSolverMultistepScheduler": dpm.multistep_table,
    "DPMSolverSinglestepScheduler": dpm.singlestep_table,
    "EDMDPMSolverMultistepScheduler": edm.dpm_solver_table,
    "EDMEulerScheduler": edm.euler_table,
    "EulerAncestralDiscreteScheduler": exploding.euler_ancestral_table,
    "EulerDiscreteScheduler": exploding.euler_table,
    "FlowMatchEulerDiscreteScheduler": flow.euler_table,
    "FlowMatchHeunDiscreteScheduler": flow.heun_table,
    "FlowMatchLCMScheduler": flow.lcm_table,
    "HeunDiscreteScheduler": exploding.heun_table,
    "IPNDMScheduler": discrete.ipndm_table,
    "KDPM2AncestralDiscreteScheduler": exploding.dpm2_ancestral_table,
    "KDPM2DiscreteScheduler": exploding.dpm2_table,
    "LCMScheduler": few_step.lcm_table,
    "LMSDiscreteScheduler": exploding.lms_table,
    "LTXEulerAncestralRFScheduler": flow.ltx_table,
    "PNDMScheduler": discrete.pndm_table,
    "SASolverScheduler": dpm.sa_solver_table,
    "SCMScheduler": few_step.scm_table,
    "TCDScheduler": few_step.tcd_table,
    "UniPCMultistepScheduler": dpm.unipc_table,
}
_RESPACING = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
_EXPLODING = ("rescale_betas_zero_snr", "final_sigmas_type", "interpolation_type")
_NOT_READ: Mapping[str, tuple[str, ...]] = {
    "DEISMultistepScheduler": ("rescale_betas_zero_snr", "lambda_min_clipped"),
    "DPMSolverSinglestepScheduler": ("rescale_betas_zero_snr", "steps_offset"),
    "EulerAncestralDiscreteScheduler": ("final_sigmas_type", "interpolation_type", *_RESPACING),
    "FlowMatchHeunDiscreteScheduler": (
        "invert_sigmas",
        "shift_terminal",
        "use_dynamic_shifting",
        *_RESPACING,
    ),
    "HeunDiscreteScheduler": _EXPLODING,
    "KDPM2AncestralDiscreteScheduler": _EXPLODING,
    "KDPM2DiscreteScheduler": _EXPLODING,
    "LMSDiscreteScheduler": _EXPLODING,
    "LTXEulerAncestralRFScheduler": (
        "shift",
        "invert_sigmas",
        "shift_terminal",
        "use_dynamic_shifting",
        *_RESPACING,
    ),
    "PNDMScheduler": ("rescale_betas_zero_snr",),
    "SASolverScheduler": ("rescale_betas_zero_snr", "lambda_min_clipped", "use_dynamic_shifting"),
}
"""Fields that a scheduler does not have. Its file may hold them all the same, from the scheduler that was there before."""
_TOKENS = "it samples tokens, not latents"
_BACKWARDS = "it runs from pictures to noise"
_REFUSED: Mapping[str, str] = {
    "AmusedScheduler": _TOKENS,
    "BlockRefinementScheduler": _TOKENS,
    "ConsistencyDecoderScheduler": "it decodes latents; use the decoder's own loop",
    "CosineDPMSolverMultistepScheduler": "its noise comes from a Brownian tree; use EDMDPMSolverMultistepScheduler",
    "DDIMInverseScheduler": _BACKWARDS,
    "DiscreteDDIMScheduler": _TOKENS,
    "DPMSolverMultistepInverseScheduler": _BACKWARDS,
    "DPMSolverSDEScheduler": "its noise comes from a Brownian tree; use DPMSolverMultistepScheduler with "
    "algorithm_type sde-dpmsolver++",
    "EntropyBoundScheduler": _TOKENS,
    "FlowMapEulerDiscreteScheduler": "its network is told where the step ends as well; use FlowMatchEulerDiscreteScheduler",
    "HeliosDMDScheduler": "its latents grow in size; use FlowMatchLCMScheduler",
    "HeliosScheduler": "its latents grow in size; use UniPCMultistepScheduler with use_flow_sigmas",
    "KarrasVeScheduler": "its noise level rises within a step; use HeunDiscreteScheduler",
    "RePaintScheduler": "it goes back and forth in time; use DDPMScheduler, and a mask of fewstep.loop.Edit",
    "ScoreSdeVeScheduler": "its corrector's step size depends on the latents; use "
    "fewstep.samplers.score_sde.reverse_diffusion_ve",
    "ScoreSdeVpScheduler": "it has no timesteps of a checkpoint; use fewstep.samplers.score_sde.euler_maruyama",
    "UnCLIPScheduler": "its variance is learned, or its pictures are clipped; use DDPMScheduler with variance_type fixed_small",
    "VQDiffusionScheduler": _TOKENS,
}


def from_diffusers(
    config: Mapping[str, object] | Path | str, steps: int, options: Options | None = None
) -> StepTable:
    """The table of a scheduler with so many inference steps.

    Args:
        config: a scheduler's configuration with `_class_name`, or the path of its JSON file (or of the folder with a
            scheduler_config.json).
        steps: what `set_timesteps` would be given; samplers of order 2 evaluate the network more often.
        options: what the pipeline would give to `set_timesteps` and `step`.

    Raises:
        FewstepError: an unknown scheduler, a setting that is not linear (clipping, thresholding, learned variance), or a
            value that no table can be made of; the message says what to change.
    """
    values = config if isinstance(config, Mapping) else _read(Path(config))
    name = str(values.get("_class_name")).removeprefix(
        "Flax"
    )  # the same schedulers, as diffusers reads them too
    if name not in BUILDERS:
        reason = _REFUSED.get(name, f"known are {', '.join(BUILDERS)}")
        raise FewstepError(f"expected a scheduler that a step table can hold, found '{name}': {reason}")
    known = Config(name, {key: value for key, value in values.items() if key not in _NOT_READ.get(name, ())})
    known.refuse("guidance_rescale", 0.0, 0.0, "it divides by the standard deviation of the network's output")
    return BUILDERS[name](known, steps, options or Options())


def _read(path: Path) -> Mapping[str, object]:
    path = path / "scheduler_config.json" if path.is_dir() else path
    value = load_json(path, constant=_constant)
    if not isinstance(value, Mapping):
        raise FewstepError(f"expected an object with '_class_name', found something else, in {path}")
    return value


def _constant(name: str) -> str:
    """Diffusers writes the `lambda_min_clipped` that clips nothing as Python does."""
    return "-inf" if name == "-Infinity" else no_constant(name)

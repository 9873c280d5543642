"""Every scheduler class of diffusers is either compiled or refused by name, and reads the fields that it has."""

import ast
import importlib.util
from pathlib import Path

import pytest

from fewstep.errors import FewstepError
from fewstep.samplers.diffusers import BUILDERS, Options, from_diffusers

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def schedulers() -> dict[str, set[str]]:
    """Names of the classes in diffusers' source, Flax's too, with the fields of their configuration."""
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "schedulers"
    found = {}
    for file in folder.rglob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Scheduler"):
                init = [f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
                found[node.name] = {argument.arg for f in init for argument in f.args.args}
    return found


SCHEDULERS = schedulers()


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_a_class_is_compiled_or_refused_with_a_reason(name: str) -> None:
    config = {"_class_name": name, "clip_sample": False, "clip_denoised": False}
    if name.removeprefix("Flax") in BUILDERS:
        assert from_diffusers(config, 6).sampler == name.removeprefix("Flax")
    else:
        with pytest.raises(FewstepError, match=f"found '{name.removeprefix('Flax')}': it"):
            from_diffusers(config, 6)


CHANGED: dict[str, object] = {
    "rescale_betas_zero_snr": True,
    "final_sigmas_type": "sigma_min",
    "interpolation_type": "log_linear",
    "steps_offset": 1,
    "lambda_min_clipped": -1.0,
    "shift": 3.0,
    "shift_terminal": 0.1,
    "use_karras_sigmas": True,
    "use_dynamic_shifting": True,
}


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_a_field_that_the_class_does_not_have_changes_nothing(name: str) -> None:
    """A pipeline that swaps schedulers keeps the file, so that it holds the fields of others."""
    config = {
        "_class_name": name,
        "clip_sample": False,
        "clip_denoised": False,
        "prediction_type": "v_prediction",
    }
    if name == "SCMScheduler":
        config["prediction_type"] = "trigflow"
    plain = from_diffusers(config, 6)
    for field, value in CHANGED.items():
        if field not in SCHEDULERS[name]:
            assert from_diffusers({**config, field: value}, 6, Options(mu=0.5)) == plain, field


def test_the_infinite_number_that_diffusers_writes_is_read(tmp_path: Path) -> None:
    file, solver = tmp_path / "scheduler_config.json", "DPMSolverMultistepScheduler"
    file.write_text(f'{{"_class_name": "{solver}", "lambda_min_clipped": -Infinity}}')
    assert from_diffusers(tmp_path, 6) == from_diffusers({"_class_name": solver}, 6)
    file.write_text(f'{{"_class_name": "{solver}", "beta_start": NaN}}')
    with pytest.raises(FewstepError, match="NaN is no number of JSON"):
        from_diffusers(tmp_path, 6)


def test_guidance_rescale_is_refused_by_name() -> None:
    with pytest.raises(FewstepError, match=r"'guidance_rescale': 0\.0, found 0\.7, .* standard deviation"):
        from_diffusers({"_class_name": "EulerDiscreteScheduler", **SD, "guidance_rescale": 0.7}, 6)


def test_the_warm_up_of_pndm_takes_four_steps() -> None:
    with pytest.raises(
        FewstepError, match=r"expected at least 4 steps, .* found 3, .* set 'skip_prk_steps' to true"
    ):
        from_diffusers({"_class_name": "PNDMScheduler", **SD}, 3)


def test_levels_at_which_a_sampler_divides_by_0_are_refused() -> None:
    config = {
        "_class_name": "UniPCMultistepScheduler",
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "final_sigmas_type": "sigma_min",  # repeats the last level
        "lower_order_final": False,
    }
    with pytest.raises(FewstepError, match="expected finite coefficients, found NaN or infinity, from UniPC"):
        from_diffusers(config, 18)

"""Any scheduler, schedule, spacing and number of steps gives a table that is finite, minimal, and survives JSON."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.errors import FewstepError
from fewstep.samplers.diffusers import BUILDERS, Options, from_diffusers
from fewstep.step_table import StepTable

Array = npt.NDArray[np.float64]
FLOW = ("FlowMatch", "LTX", "SCM", "EDM", "CM", "IPNDM")
STEPS_TOTAL = {"CMStochasticIterativeScheduler": 40, "LCMScheduler": 50, "TCDScheduler": 50}


@st.composite
def configs(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    name = draw(st.sampled_from(sorted(BUILDERS)))
    config: dict[str, Any] = {"_class_name": name, "clip_sample": False, "clip_denoised": False}
    if not name.startswith(FLOW):
        config |= draw(
            st.sampled_from(
                [
                    {},
                    {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
                    {"beta_schedule": "squaredcos_cap_v2"},
                ]
            )
        )
        config["prediction_type"] = draw(st.sampled_from(["epsilon", "v_prediction"]))
        config["timestep_spacing"] = draw(st.sampled_from(["linspace", "leading", "trailing"]))
        config["skip_prk_steps"] = draw(st.booleans())
    if name.startswith(("DPMSolver", "DEIS", "UniPC", "SASolver", "Euler", "Heun", "KDPM2", "LMS")) and draw(
        st.booleans()
    ):
        config[draw(st.sampled_from(["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"]))] = (
            True
        )
    if name.startswith(("DPMSolver", "DEIS", "UniPC")):
        config["solver_order"] = draw(st.integers(1, 3))
        if draw(st.booleans()):
            config |= {
                "use_flow_sigmas": True,
                "prediction_type": "flow_prediction",
                "flow_shift": draw(st.sampled_from([1.0, 3.0])),
            }
            config = {
                k: v
                for k, v in config.items()
                if not k.endswith(("karras_sigmas", "exponential_sigmas", "beta_sigmas"))
            }
    if name.startswith("FlowMatch"):
        config["shift"] = draw(st.floats(0.5, 8.0))
    warm_up = name == "PNDMScheduler" and not config["skip_prk_steps"]
    steps = draw(st.integers(4 if warm_up else 1, 60))
    return config, min(steps, STEPS_TOTAL.get(name, 60))  # fmt: skip


@given(configs(), st.sampled_from(["diffusers", None]))
@settings(max_examples=100)
def test_every_table_is_finite_minimal_and_survives_json(
    drawn: tuple[dict[str, Any], int], compat: Any
) -> None:
    config, steps = drawn
    table = from_diffusers(config, steps, Options(compat=compat))
    assert len(table.rows) >= steps or config["timestep_spacing"] == "trailing"
    assert StepTable.from_dict(json.loads(json.dumps(table.to_dict()))) == table
    assert hankel_rank(table, 1e-8) <= table.buffers <= hankel_rank(table, 1e-13)
    assert all(row.input_scale > 0 for row in table.rows)
    assert len(table.explain().splitlines()) == len(table.rows) + 1


def hankel_rank(table: StepTable, least: float) -> int:
    """The largest rank of the map from what happened before a row to the latents after it.

    Singular values count above `least` of the largest. Rounding leaves 1e-14, and real ones go down to 1e-10.
    """
    n = len(table.rows)
    state, latents = np.eye(1, 1 + 2 * n), []
    for i, row in enumerate(table.rows):
        state = np.array(row.state) @ state
        state[:, 1 + 2 * i] += row.output
        if row.noise:
            state[:, 2 + 2 * i] += row.noise
        latents.append(state[0].copy())
    return max([1, *(_rank(np.array(latents)[i - 1 :, : 1 + 2 * i], least) for i in range(1, n))])


def _rank(block: Array, least: float) -> int:
    norms = np.linalg.norm(block, axis=1, keepdims=True)
    values = np.linalg.svd(block / np.where(norms == 0, 1, norms), compute_uv=False)
    return int((values > least * values[0]).sum())


SD = {"_class_name": "DDIMScheduler", "clip_sample": False}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"_class_name": "DDIMScheduler"}, "'clip_sample': False, found True, in DDIMScheduler, as clipping is not linear"),
    (SD | {"thresholding": True}, "expected 'thresholding': False, found True, .* dynamic thresholding is not linear"),
    (
        {"_class_name": "DDPMScheduler", "clip_sample": False, "variance_type": "learned_range"},
        "expected a fixed variance, found 'variance_type': 'learned_range', .* set 'variance_type' to 'fixed_small'",
    ),
    ({"_class_name": "CMStochasticIterativeScheduler"}, "'clip_denoised': False, found True"),
    ({"_class_name": "DPMSolverSDEScheduler"}, "Brownian tree; use DPMSolverMultistepScheduler"),
    ({"_class_name": "AmusedScheduler"}, "it samples tokens"),
    ({"_class_name": "MyScheduler"}, "found 'MyScheduler': known are CMStochasticIterativeScheduler, "),
    ({}, "expected a scheduler that a step table can hold, found 'None'"),
    (SD | {"beta_start": "small"}, "expected a number, found 'small', in field 'beta_start' of DDIMScheduler"),
    (SD | {"beta_schedule": "steep"}, "found 'steep', in field 'beta_schedule' of DDIMScheduler"),
    (SD | {"timestep_spacing": "even"}, "expected linspace, leading or trailing, found 'even'"),
    (SD | {"prediction_type": "score"}, "found 'score', in field 'prediction_type'"),
    (SD | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, "predicts epsilon, found 0"),
    (
        {"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True},
        "expected the size of the picture, .* give Options.tokens",
    ),
    ({"_class_name": "FlowMatchLCMScheduler", "scale_factors": [0.5, 1]}, "'scale_factors': None, found"),
    (
        {"_class_name": "DPMSolverMultistepScheduler", "prediction_type": "flow_prediction"},
        "expected flow_prediction with use_flow_sigmas",
    ),
    (
        {"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": True, "use_beta_sigmas": True},
        "expected one spacing of the sigmas, found 2",
    ),
    (
        {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver", "solver_order": 3},
        "found 'sde-dpmsolver' of order 3, .* choose sde-dpmsolver",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_what_no_table_can_hold_is_refused_by_name(config: dict[str, Any], message: str) -> None:
    with pytest.raises(FewstepError, match=message):
        from_diffusers(config, 8)


@pytest.mark.parametrize("steps", [0, -1, 1001])
@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverMultistepScheduler", "EulerDiscreteScheduler"])
def test_steps_out_of_range_are_refused(name: str, steps: int) -> None:
    with pytest.raises(FewstepError, match=f"expected 1 to 1000 steps, found {steps}"):
        from_diffusers({"_class_name": name, "clip_sample": False}, steps)


def test_a_configuration_is_read_from_its_file_or_folder(tmp_path: Any) -> None:
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": "0.39.0", "shift": 3.0}
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config))
    expected = from_diffusers(config, 4)
    assert StepTable.from_diffusers(tmp_path, 4) == expected
    assert StepTable.from_diffusers(str(tmp_path / "scheduler_config.json"), 4) == expected
    with pytest.raises(FewstepError, match="expected a readable file"):
        from_diffusers(tmp_path / "none.json", 4)


def test_few_step_students_may_give_their_sigmas() -> None:
    """The default shifts the smallest sigma twice, and asks a student of two steps at 1 and 0.0089."""
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    default = from_diffusers(config, 2)
    assert [round(row.timestep, 1) for row in default.rows] == [1000.0, 8.9]
    given = from_diffusers(config, 2, Options(sigmas=(1.0, 0.5)))
    assert [row.timestep for row in given.rows] == [1000.0, 750.0]
    assert from_diffusers(config, 2, Options(compat=None)) == given

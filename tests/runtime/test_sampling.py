"""The tables of a bundle: by name on flow levels, or by the checkpoint's own scheduler."""

from dataclasses import replace

import numpy as np
import pytest

from fewstep.errors import BundleError, FewstepError
from fewstep.records import from_json, to_json
from fewstep.samplers import compile_table, flow_sigmas, from_diffusers
from fewstep.sampling import Sampling

DDIM = {"_class_name": "DDIMScheduler", "clip_sample": False, "beta_schedule": "scaled_linear"}
EPSILON = Sampling("epsilon", "DDIMScheduler", 10, scheduler=DDIM)
FLOW = {
    "_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15
}  # fmt: skip


def test_named_samplers_stand_on_flow_levels() -> None:
    sampling = Sampling("flow", "flow-euler", 4, shift=3.0)
    assert sampling.table() == compile_table("flow-euler", 4, 3.0)
    assert sampling.table(7, "flow-dpm++2m") == compile_table("flow-dpm++2m", 7, 3.0)


def test_a_checkpoint_keeps_its_scheduler_and_may_change_it() -> None:
    assert EPSILON.table() == from_diffusers(DDIM, 10)
    other = {**DDIM, "_class_name": "DPMSolverMultistepScheduler"}
    assert EPSILON.table(5, "DPMSolverMultistepScheduler") == from_diffusers(other, 5)
    assert from_json(Sampling, to_json(EPSILON), "sampling") == EPSILON


def test_levels_of_the_pipeline_and_the_shift_of_the_picture() -> None:
    mu = 0.5 + (1.15 - 0.5) * (1024 - 256) / (4096 - 256)
    table = Sampling(
        "flow", str(FLOW["_class_name"]), 4, scheduler=FLOW, tokens=1024, even_levels=True
    ).table()
    found = [row.timestep / 1000 for row in table.rows]
    np.testing.assert_allclose(found, flow_sigmas(4, np.exp(mu))[:-1], atol=1e-12)


def test_a_scheduler_for_another_prediction_is_refused() -> None:
    with pytest.raises(
        FewstepError, match="networks that predict epsilon, found FlowMatchEulerDiscreteScheduler"
    ):
        EPSILON.table(4, "FlowMatchEulerDiscreteScheduler")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shift": 3.0}, "expected a shift or a scheduler"),
        ({"scheduler": {}}, "expected a shift or a scheduler"),
        ({"sampler": "flow-euler"}, "found 'flow-euler'"),
        ({"steps": 0}, "1 to 10000 steps"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        replace(EPSILON, **change)  # type: ignore[arg-type]

"""The chain of calls behind a picture: the loop as scalars, and gradients against finite differences."""

import numpy as np
import pytest

from fewstep.loop import run
from fewstep.samplers import compile_table
from fewstep_export.components import Generator
from fewstep_export.coreml.chain import draw_chain, mixing

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("sampler", ["flow-euler", "flow-dpm++2m", "flow-renoise"])
def test_the_loop_is_scalars_times_outputs(sampler: str) -> None:
    table = compile_table(sampler, 5, 1.0)
    outputs = RNG.standard_normal((len(table.rows), 6)).astype(np.float32)
    given: dict[float, list[np.ndarray]] = {0.0: [], 1.0: []}
    for scale, seen in given.items():
        left = iter(scale * outputs)

        def model(x: np.ndarray, _timestep: float) -> np.ndarray:
            seen.append(x.copy())  # noqa: B023  # called in this round alone
            return next(left)  # noqa: B023

        for _, latents in run(table, lambda stream: np.full(6, 0.1 * (stream + 1), np.float32), model):
            last = latents.copy()
        seen.append(last)
    differences = np.stack(given[1.0]) - np.stack(given[0.0])
    np.testing.assert_allclose(mixing(table) @ outputs, differences, atol=1e-5)


def test_the_chain_holds_every_call_of_a_picture(tiny: Generator) -> None:
    table = tiny.sampling.table()
    chain = draw_chain(tiny, "a red heart", 3, table)
    branches = 1 if tiny.guidance.scale == 1 else 2
    assert [len(step) for step in chain.steps] == [branches] * len(table.rows)
    assert len(chain.texts) == branches
    z = chain.decoded.feeds["latents"]
    assert np.array_equal(
        tiny.component("decoder").run({"latents": z})["image"], chain.decoded.outputs["image"]
    )

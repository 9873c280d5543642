"""The fused loop around a step in numpy: the host loop's latents, in two sets of buffers."""

from collections.abc import Mapping

import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep.fused import pack_row, row_size, run_fused
from fewstep.loop import Array, run
from fewstep.network import Feeds
from fewstep.noise import gaussian
from fewstep.samplers import compile_table
from fewstep.step_table import StepTable

SHAPE = (2, 3, 4, 4)
TABLES = [
    compile_table("flow-euler", 3, 3.0),
    compile_table("flow-dpm++2m", 4, 3.0),
    StepTable.from_diffusers({"_class_name": "LCMScheduler"}, 3),  # draws noise
]


def noise(stream: int) -> Array:
    return gaussian(SHAPE, 5, stream)


def network(x: Array, timestep: float) -> Array:
    output: Array = np.tanh(x * np.float32(1 + timestep / 1000))
    return output


class NumpyStep:
    """What docs/loop-forms.md says of a fused step, for arrays that it keeps."""

    def __init__(self, buffers: int) -> None:
        self.buffers, self.written = buffers, list[int]()

    def __call__(self, feeds: Feeds, outputs: Feeds) -> None:
        k = self.buffers
        row = feeds["row"]
        assert row.shape == (row_size(k),) and row.dtype == np.float32
        state = [feeds[f"state_{i}"] for i in range(k)]
        matrix, output, drawn = row[3 : 3 + k * k].reshape(k, k), row[-2 * k : -k], row[-k:]
        m = network(state[0] * row[1], float(row[0]))
        for i in range(k):
            terms = output[i] * m + sum(matrix[i, j] * state[j] for j in range(k))
            np.copyto(outputs[f"next_{i}"], terms + drawn[i] * feeds.get("noise", np.float32(0)))
        self.written.append(outputs["next_0"].ctypes.data)


@pytest.mark.parametrize("buffers", [2, 3])
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_latents_are_those_of_the_host_loop(table: StepTable, buffers: int) -> None:
    step = NumpyStep(buffers)
    found = [latents.copy() for _, latents in run_fused(table, noise, step, buffers, table.stochastic, 1.0)]
    expected = [latents.copy() for _, latents in run(table, noise, network)]
    assert len(found) == len(expected) == len(table.rows)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_kept_arrays_go_round_in_two_sets_of_buffers() -> None:
    step = NumpyStep(2)
    yielded = [latents.ctypes.data for _, latents in run_fused(TABLES[1], noise, step, 2, False, 1.0)]
    assert yielded == step.written  # what the graph wrote is what the caller sees
    assert yielded[0] == yielded[2] != yielded[1] == yielded[3]


def test_a_row_holds_0_for_what_it_does_not_have() -> None:
    row = TABLES[0].rows[1]
    packed = pack_row(row, 2, guidance=7.0)
    assert packed[:3] == pytest.approx([row.timestep, row.input_scale, 7.0])
    assert packed[3:7] == pytest.approx([row.state[0][0], 0, 0, 0])
    assert packed[7:].tolist() == pytest.approx([row.output[0], 0, 0, 0])


@pytest.mark.parametrize(
    ("table", "limits", "message"),
    [
        (TABLES[1], {"buffers": 1, "stochastic": True}, "keeps at most 1 arrays, found 2, in flow-dpm"),
        (TABLES[2], {"buffers": 3, "stochastic": False}, "draws no noise, found one that does, LCM"),
    ],
)
def test_a_table_that_the_graph_cannot_run_is_refused(
    table: StepTable, limits: Mapping[str, int], message: str
) -> None:
    with pytest.raises(FewstepError, match=message):
        next(
            run_fused(
                table, noise, NumpyStep(limits["buffers"]), limits["buffers"], bool(limits["stochastic"]), 1.0
            )
        )

"""76 tables that were read off the real diffusers schedulers, against the tables compiled from their configurations.

Two tables are the same sampler if x_1 .. x_N are the same combinations of the initial latents, the outputs and the noise
draws; how the rows are written (which arrays are kept) does not matter.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fewstep.samplers.diffusers import Options, from_diffusers
from fewstep.step_table import StepTable

Array = npt.NDArray[np.float64]
PROBED = json.loads((Path(__file__).parents[2] / "data" / "probed_step_tables.json").read_text())["tables"]
TOLERANCE = 1e-12


def options(step: dict[str, float]) -> Options:
    """The keyword arguments of `step` of the probe."""
    return Options(eta=step.get("eta"), churn=step.get("s_churn", 0.0))


def compiled(table: StepTable) -> tuple[Array, Array]:
    """x_1 .. x_N on [x_0, m_0 .. m_{N-1}] and on the noise draws, in the order drawn."""
    n = len(table.rows)
    draws = [i for i, row in enumerate(table.rows) if any(row.noise)]
    state, latents = np.eye(1, 1 + n + len(draws)), []
    for i, row in enumerate(table.rows):
        state = np.array(row.state) @ state
        state[:, 1 + i] += row.output
        if i in draws:
            state[:, 1 + n + draws.index(i)] += row.noise
        latents.append(state[0].copy())
    return np.array(latents)[:, : 1 + n], np.array(latents)[:, 1 + n :]


def probed(entry: dict[str, Any]) -> tuple[Array, Array]:
    """The same from rows on x_j, m_j and draws; draws that no row uses are left out."""
    n, count = len(entry["latent"]), max(map(len, entry["noise"]))
    latents = np.eye(1, 1 + n + count)
    for i in range(n):
        x = np.array(entry["latent"][i]) @ latents[: len(entry["latent"][i])]
        x[1 : 1 + len(entry["output"][i])] += entry["output"][i]
        x[1 + n : 1 + n + len(entry["noise"][i])] += entry["noise"][i]
        latents = np.vstack([latents, x])
    noise = latents[1:, 1 + n :]
    return latents[1:, : 1 + n], noise[:, np.any(noise != 0, axis=0)]


@pytest.mark.parametrize("entry", PROBED, ids=lambda entry: entry["name"])
def test_a_probed_table_is_reproduced(entry: dict[str, Any]) -> None:
    table = from_diffusers(entry["config"], entry["steps"], options(entry["step"]))
    for found, expected in zip(compiled(table), probed(entry), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
    scale = np.broadcast_to(entry["input_scale"], len(table.rows))
    np.testing.assert_allclose([row.input_scale for row in table.rows], scale, rtol=1e-14)


@pytest.mark.parametrize("entry", PROBED, ids=lambda entry: entry["name"])
def test_no_table_keeps_more_arrays_than_the_rank_of_its_hankel_matrix(entry: dict[str, Any]) -> None:
    table = from_diffusers(entry["config"], entry["steps"], options(entry["step"]))
    assert table.buffers == entry["buffers"]


def test_there_are_76_of_them() -> None:
    assert len(PROBED) == 76

"""The golden vectors that loops of other languages are tested against: what this loop makes of them today."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewstep.loop import Array, Edit, run
from fewstep.step_table import StepTable

ROOT = Path(__file__).parents[2]
PATH = ROOT / "tests" / "data" / "golden_sampler_vectors.json"
GOLDEN = json.loads(PATH.read_text(encoding="utf-8"))


def array(values: list[float]) -> Array:
    return np.array(values, dtype=np.float32).reshape(GOLDEN["shape"])


def network(x: Array, timestep: float) -> Array:
    output: Array = np.tanh(np.float32(0.5) * x[..., ::-1] + np.float32(timestep / 1000))
    return output


@pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=lambda vector: vector["name"])
def test_the_loop_gives_the_golden_latents(vector: dict[str, Any]) -> None:
    table = StepTable.from_dict(vector["table"])
    noise = {int(stream): array(values) for stream, values in vector["noise"].items()}
    edit = None
    if found := vector.get("edit"):
        mask = None if found["mask"] is None else array(found["mask"])
        edit = Edit(array(found["image"]), found["strength"], mask)
    latents = {str(i): x.copy() for i, x in run(table, noise.__getitem__, network, edit)}
    for i, values in vector["latents"].items():
        np.testing.assert_allclose(latents[i], array(values), rtol=0, atol=GOLDEN["tolerance"])


def test_the_files_are_what_their_command_writes() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "golden_samplers.py"))
    noise = json.loads((ROOT / "tests" / "data" / "noise.json").read_text())
    for new, old in zip(tool["noise"]()["cases"], noise["cases"], strict=True):
        assert (new["seed"], new["stream"]) == (old["seed"], old["stream"])
        np.testing.assert_allclose(new["values"], old["values"], rtol=2e-7)
    made = json.loads(json.dumps(tool["vectors"]()))
    assert [v["name"] for v in made["vectors"]] == [v["name"] for v in GOLDEN["vectors"]]
    for new, old in zip(made["vectors"], GOLDEN["vectors"], strict=True):
        assert new["table"].keys() == old["table"].keys()
        for row, before in zip(new["table"]["rows"], old["table"]["rows"], strict=True):
            for field, value in before.items():
                np.testing.assert_allclose(row[field], value, rtol=1e-9, atol=1e-12)


def test_it_is_small_enough_to_ship_with_an_app() -> None:
    assert PATH.stat().st_size < 1_000_000

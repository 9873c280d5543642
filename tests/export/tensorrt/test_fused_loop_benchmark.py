"""The forms of the loop that benchmarks/fused_loop_cuda.py compares are the same loop; here in its tiny size without a GPU."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from tests.scripts import load_script

from fewstep.samplers import compile_table

PATH = Path(__file__).parents[3] / "benchmarks/fused_loop_cuda.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(PATH)


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU it compiles, and measures for a minute")
def test_every_form_gives_the_latents_of_the_runtimes_loop(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "x.json"
    monkeypatch.setattr(sys, "argv", [str(PATH), "--rounds", "1", "--output", str(output)])
    script.main()
    result = json.loads(output.read_text())
    assert {(row["guidance"], row["steps"]) for row in result["rows"]} == {
        (True, 1),
        (True, 4),
        (False, 1),
        (False, 4),
    }
    for row in result["rows"]:
        assert row["seconds"]["least"] > 0
        assert row["form"] == "network" or row["difference"] < 1e-5
    assert len(result["rows"]) == 4 * (7 if result["versions"]["diffusers"] else 5)


def test_a_sampler_of_two_arrays_is_fused_too_and_a_wrong_row_is_seen(script: ModuleType) -> None:
    denoiser, _ = script.load("cpu")
    network = script.Network(denoiser, torch.float32).eval().requires_grad_(False)
    case, table = script.cases(network, "cpu", 2), compile_table("flow-dpm++2m", 6, 1.0)
    assert table.buffers == 2
    with torch.inference_mode():
        right = script.on_host(case, table)()
        for whole in (False, True):
            found = script.fused(case, table, whole)()
            assert (found - right).abs().max() < 1e-5 * right.abs().max()
        other = script.fused(case, compile_table("flow-euler", 6, 1.0), whole=True)()
    assert (other - right).abs().max() > 1e-3 * right.abs().max()

"""The training loop on a real method and real pictures: it learns, resumes exactly, and stops when it diverges."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fewstep.errors import FewstepError
from fewstep_distillation.recipe import AutoencoderRecipe
from fewstep_distillation.run_config import RunConfig
from fewstep_distillation.train import train
from fewstep_distillation.trainer import Progress, learning_rate
from fewstep_models.autoencoder import AutoencoderConfig

SLICE = Path(__file__).parents[1] / "data" / "emoji-slice"
TINY = AutoencoderConfig(widths=(8, 16, 32), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1))


def _recipe(output: Path, steps: int, rate: float = 1e-3) -> AutoencoderRecipe:
    run = RunConfig(
        str(SLICE), str(output), steps, batch_size=4, learning_rate=rate, warmup_steps=1, log_every=2
    )
    return AutoencoderRecipe(run, TINY, perceptual_weight=0.0)


def _losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_learning_lowers_the_loss_and_leaves_weights_log_and_sheet(tmp_path: Path) -> None:
    train(_recipe(tmp_path, 24))
    losses = _losses(tmp_path)
    assert losses[-1] < 0.7 * losses[0]
    names = {path.name for path in tmp_path.iterdir()}
    assert {"autoencoder.json", "autoencoder.safetensors", "reconstructions.png", "recipe.json"} <= names
    assert (
        "gradient_norm" in (tmp_path / "log.svg").read_text()
    )  # matplotlib writes labels as comments beside their outlines
    assert all(
        value.dtype == torch.float16 for value in load_file(tmp_path / "autoencoder.safetensors").values()
    )


def test_same_seed_same_weights(tmp_path: Path) -> None:
    first, second = (load_file(train(_recipe(tmp_path / name, 3)) / "state.safetensors") for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_resumed_run_sees_the_batches_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The learning rate is pinned, since its schedule depends on the whole budget and the two runs differ in that."""
    monkeypatch.setattr("fewstep_distillation.trainer.learning_rate", lambda config, progress: 1e-3)
    whole = load_file(train(_recipe(tmp_path / "whole", 6)) / "state.safetensors")
    train(_recipe(tmp_path / "parts", 3))
    parts = load_file(train(_recipe(tmp_path / "parts", 6), resume=True) / "state.safetensors")
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-6, rtol=1e-4)


def test_divergence_ends_the_run_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match=r"expected a (loss|gradient_norm) below .* at step \d+"):
        train(_recipe(tmp_path, 40, rate=1e6))


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = RunConfig("d", "o", steps=100, learning_rate=1.0, warmup_steps=10)
    rates = [learning_rate(config, Progress(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9]
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert learning_rate(RunConfig("d", "o", 10**9, seconds=10.0), Progress(500, 10.0)) == pytest.approx(
        0.0, abs=1e-12
    )

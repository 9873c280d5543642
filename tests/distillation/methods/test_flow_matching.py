"""The teacher's loss on real captions and pictures (slow: fetches the text encoder on first use)."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fewstep_distillation.methods.flow_matching import FlowMatchingMethod
from fewstep_distillation.recipe import FlowMatchingRecipe
from fewstep_distillation.run_config import BankConfig, RunConfig
from fewstep_distillation.train import train
from fewstep_models.autoencoder import Autoencoder, AutoencoderConfig
from fewstep_models.backbones import BackboneConfig
from fewstep_models.checkpoint import Checkpoint, save_autoencoder
from fewstep_models.diffussm import DiffuSSMConfig
from fewstep_models.sana import SanaConfig

pytestmark = pytest.mark.slow
SLICE = Path(__file__).parents[2] / "data" / "emoji-slice"


@pytest.fixture
def recipe(tmp_path: Path) -> FlowMatchingRecipe:
    (tmp_path / "autoencoder").mkdir()
    save_autoencoder(Autoencoder(AutoencoderConfig()), tmp_path / "autoencoder")
    run = RunConfig(str(SLICE), str(tmp_path / "out"), 3, batch_size=8, log_every=1)
    model = SanaConfig(width=64, depth=1)
    return FlowMatchingRecipe(
        run, str(tmp_path / "autoencoder"), model, bank=BankConfig(captions_per_picture=2)
    )


class _Oracle(nn.Module):
    """Records what the network is asked."""

    def forward(self, latents: Tensor, timestep: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        self.asked = (latents, timestep, states, mask)
        return torch.zeros_like(latents)


def test_batches_are_normalised_noised_and_sometimes_without_text(recipe: FlowMatchingRecipe) -> None:
    method = FlowMatchingMethod(dataclasses.replace(recipe, caption_dropout=0.5))
    method.prepare(torch.device("cpu"))
    latents = method.latents.latents
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(8), atol=1e-3, rtol=0)
    oracle = _Oracle()
    loss, _ = method.loss(oracle, 64, torch.Generator().manual_seed(0))
    assert 1.5 < loss < 2.5  # E|noise - x0|^2 = 2 for unit-variance latents
    _, timestep, states, _ = oracle.asked
    assert 0 < timestep.min() < timestep.max() < 1000
    empty = (states == method.text.states[0].float()).all((1, 2)).sum()
    assert 16 < empty < 48


@pytest.mark.parametrize("model", [SanaConfig(width=64, depth=1), DiffuSSMConfig(width=64, depth=1)])
def test_training_writes_a_checkpoint_that_loads(recipe: FlowMatchingRecipe, model: BackboneConfig) -> None:
    run = dataclasses.replace(recipe.run, sample_every_seconds=0.0)
    folder = train(dataclasses.replace(recipe, model=model, run=run))
    checkpoint = Checkpoint.load(folder)
    assert checkpoint.config.styles
    assert checkpoint.config.denoiser == model
    sheets = {path.name for path in folder.glob("samples*.png")}
    assert sheets == {"samples.png", *(f"samples-{step:07}.png" for step in (1, 2, 3))}

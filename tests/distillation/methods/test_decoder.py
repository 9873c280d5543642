"""The small decoder learns its teacher's pictures and takes its place in a checkpoint."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.methods.decoder import DecoderMethod
from fewstep_distillation.recipe import DecoderRecipe, read_recipe
from fewstep_distillation.run_config import RunConfig
from fewstep_distillation.train import train
from fewstep_models.autoencoder import AutoencoderConfig, Decoder
from fewstep_models.checkpoint import Checkpoint

RECIPE = Path(__file__).parents[3] / "distillation" / "recipes" / "emoji-128-tiny-decoder.toml"


@pytest.fixture
def recipe(dataset: EmojiDataset, teacher: Path, tmp_path: Path) -> DecoderRecipe:
    """A decoder of a quarter of the tiny teacher's, without the perceptual part, whose weights are fetched."""
    run = RunConfig(
        str(dataset.folder), str(tmp_path / "out"), 30, batch_size=4, learning_rate=3e-3, warmup_steps=1
    )
    run = dataclasses.replace(run, log_every=1, ema_decay=0.5)
    return DecoderRecipe(run, str(teacher), "small", (4, 8, 32), (1, 1, 1), perceptual_weight=0.0)


def _distance(method: DecoderMethod, decoder: torch.nn.Module) -> float:
    with torch.no_grad():
        loss, _ = method.loss(decoder, 32, torch.Generator().manual_seed(100))
    return float(loss)


def test_training_writes_the_teacher_with_a_decoder_that_is_nearer_to_its_own(
    recipe: DecoderRecipe, checkpoint: Checkpoint, teacher: Path
) -> None:
    made, before = Checkpoint.load(train(recipe)), Checkpoint.load(teacher)
    assert made.config.autoencoder.decoder_widths == (4, 8, 32)
    assert (made.config.name, made.config.latent) == ("small", before.config.latent)
    for part in ("denoiser", "autoencoder"):
        weights = (load_file(folder / f"{part}.safetensors") for folder in (Path(recipe.run.output), teacher))
        new, old = ({k: v for k, v in w.items() if not k.startswith("decoder.")} for w in weights)
        assert list(new) == list(old)
        assert all(torch.equal(new[name], old[name]) for name in new)
    method = DecoderMethod(recipe)
    method.prepare(torch.device("cpu"))
    assert _distance(method, made.autoencoder.decoder) < 0.7 * _distance(method, method.module)
    assert (Path(recipe.run.output) / "decoded.png").is_file()


def test_a_copy_of_the_teachers_decoder_has_no_loss(recipe: DecoderRecipe) -> None:
    same = dataclasses.replace(recipe, widths=(8, 16, 32))
    method = DecoderMethod(same)
    method.module.load_state_dict(method.teacher.decoder.state_dict())
    method.prepare(torch.device("cpu"))
    clamped = torch.nn.Sequential(method.module, torch.nn.Hardtanh(0.0, 1.0))
    assert _distance(method, clamped) < 1e-6


def test_shipped_recipe_makes_a_decoder_of_a_quarter() -> None:
    recipe = read_recipe(RECIPE)
    assert isinstance(recipe, DecoderRecipe)
    small = AutoencoderConfig(decoder_widths=recipe.widths, decoder_blocks=recipe.blocks)
    sizes = [sum(p.numel() for p in Decoder(c).parameters()) for c in (small, AutoencoderConfig())]
    assert sizes[0] < 0.25 * sizes[1] < 0.3e6


def test_stages_must_fit_those_of_the_encoder(recipe: DecoderRecipe) -> None:
    with pytest.raises(ValueError, match=r"decoder_widths must be empty or have 3 entries, found \(4, 8\)"):
        DecoderMethod(dataclasses.replace(recipe, widths=(4, 8)))

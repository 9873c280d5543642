"""A LoRA out of two checkpoints: the nearest of its rank, exact where the difference has that rank, and a place to train on from."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fewstep.errors import FewstepError
from fewstep_distillation.extract_lora import extract, low_rank
from fewstep_distillation.methods.consistency import Consistency, ConsistencyMethod
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_models.block_removal import shortened, shortened_config
from fewstep_models.checkpoint import Checkpoint
from fewstep_models.sana import SanaConfig, SanaDenoiser


def test_product_is_the_nearest_of_its_rank() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(6, 4)
    up, down = low_rank(matrix, 2)
    assert (up.shape, down.shape) == ((6, 2), (2, 4))
    left = torch.linalg.svdvals(matrix)[2:].square().sum()
    torch.testing.assert_close((matrix - up @ down).square().sum(), left)
    up, down = low_rank(matrix, 5)  # more than it has
    assert (up.shape, down.shape) == ((6, 5), (5, 4))
    torch.testing.assert_close(up @ down, matrix, atol=1e-5, rtol=0)


@pytest.fixture
def folders(checkpoint: Checkpoint, teacher: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint and another that differs from it by matrices of rank 2 and in what is small."""
    torch.manual_seed(0)
    base, other = tmp_path / "base", tmp_path / "other"
    made = Checkpoint.load(teacher)
    made.save(base)
    with torch.no_grad():
        for p in made.denoiser.parameters():
            rows = p.flatten(1) if p.ndim > 1 else p[:, None]
            p.add_((0.1 * torch.randn(len(rows), 2) @ torch.randn(2, rows.shape[1])).reshape(p.shape))
    made.save(other)
    return base, other


def test_a_difference_of_that_rank_is_found_whole(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, other = folders
    extract(other, base, 2, tmp_path / "lora")
    found, wanted = Checkpoint.load(tmp_path / "lora"), Checkpoint.load(other)
    assert found.config.weights == {"autoencoder": "base", "denoiser": "base"}
    assert found.config.sampling == wanted.config.sampling
    for name, value in wanted.denoiser.state_dict().items():
        torch.testing.assert_close(found.denoiser.state_dict()[name], value, atol=5e-3, rtol=0)
    assert not (tmp_path / "lora" / "denoiser.safetensors").exists()


def test_training_goes_on_from_it(
    folders: tuple[Path, Path], tmp_path: Path, recipe: Callable[..., DistillationRecipe]
) -> None:
    base, other = folders
    extract(other, base, 2, tmp_path / "lora")
    start = dataclasses.replace(recipe(Consistency(), lora_rank=2), start=str(tmp_path / "lora"))
    method = ConsistencyMethod(Consistency(), start)
    expected = Checkpoint.load(tmp_path / "lora").denoiser.state_dict()
    for name, value in method._checkpoint(method.module).denoiser.state_dict().items():
        assert torch.equal(value.half().float(), expected[name])
    with pytest.raises(FewstepError, match="expected lora_rank = 2"):
        ConsistencyMethod(Consistency(), dataclasses.replace(start, lora_rank=3))


def test_a_lora_may_stand_on_some_of_the_blocks(
    folders: tuple[Path, Path], tmp_path: Path, recipe: Callable[..., DistillationRecipe]
) -> None:
    base, other = folders
    whole = Checkpoint.load(other)
    config = dataclasses.replace(whole.config, denoiser=shortened_config(whole.config.denoiser, (1,)))
    dataclasses.replace(whole, config=config, denoiser=shortened(whole.denoiser, (1,))).save(
        tmp_path / "short"
    )
    extract(tmp_path / "short", base, 2, tmp_path / "lora", blocks=(1,))
    found, wanted = (
        Checkpoint.load(tmp_path / "lora"),
        Checkpoint.load(tmp_path / "short").denoiser.state_dict(),
    )
    assert found.config.blocks == (1,)
    for name, value in found.denoiser.state_dict().items():
        torch.testing.assert_close(value, wanted[name], atol=5e-3, rtol=0)
    start = dataclasses.replace(recipe(Consistency(), lora_rank=2), start=str(tmp_path / "lora"))
    method = ConsistencyMethod(Consistency(), start)
    for name, value in method._checkpoint(method.module).denoiser.state_dict().items():
        assert torch.equal(value.half().float(), found.denoiser.state_dict()[name])
    with pytest.raises(FewstepError, match="expected blocks of a 'sana' with 2"):
        extract(tmp_path / "short", base, 2, tmp_path / "lora", blocks=(2,))


def test_positions_that_the_base_has_not_come_with_the_lora(
    folders: tuple[Path, Path], tmp_path: Path, recipe: Callable[..., DistillationRecipe]
) -> None:
    base, other = folders
    made = Checkpoint.load(other)
    assert isinstance(made.denoiser, SanaDenoiser)
    made.denoiser.add_positions()
    torch.nn.init.normal_(made.denoiser.rows)
    config = dataclasses.replace(made.config, denoiser=made.denoiser.config)
    dataclasses.replace(made, config=config).save(tmp_path / "positioned")
    extract(tmp_path / "positioned", base, 2, tmp_path / "lora")
    found = Checkpoint.load(tmp_path / "lora").denoiser.state_dict()
    torch.testing.assert_close(found["rows"], made.denoiser.rows.detach(), atol=1e-2, rtol=0)
    start = dataclasses.replace(recipe(Consistency(), lora_rank=2), start=str(tmp_path / "lora"))
    method = ConsistencyMethod(Consistency(), start)
    assert method.backbone == config.denoiser
    for name, value in method._checkpoint(method.module).denoiser.state_dict().items():
        assert torch.equal(value.half().float(), found[name])


def test_what_does_not_go_together_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, other = folders
    with pytest.raises(FewstepError, match="expected an output beside"):
        extract(other, base, 2, tmp_path / "elsewhere" / "lora")
    made = Checkpoint.load(other)
    config = SanaConfig(
        latent_channels=4, size=8, width=32, depth=1, cross_head_channels=32, text_dim=32, time_dim=32
    )
    wrong = dataclasses.replace(made.config, denoiser=config)
    dataclasses.replace(made, config=wrong, denoiser=config.build()).save(other)
    with pytest.raises(FewstepError, match="expected checkpoints of one architecture"):
        extract(other, base, 2, tmp_path / "lora")
    assert not (tmp_path / "lora").exists()

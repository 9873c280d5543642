"""What all students share: batches, guidance, levels and the facts of their checkpoint."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fewstep_distillation.methods.progressive import Progressive
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_distillation.samples import held_out_prompts
from fewstep_distillation.student import Student, StudentConfig
from fewstep_models.checkpoint import Checkpoint


@pytest.fixture
def student(recipe: Callable[..., DistillationRecipe]) -> Student:
    """A prepared student of two steps."""
    made = Student(recipe(Progressive()))
    made.prepare(torch.device("cpu"))
    return made


def test_teacher_is_frozen_and_the_student_its_copy(student: Student) -> None:
    pairs = zip(student.module.parameters(), student.teacher.parameters(), strict=True)
    assert all(torch.equal(a, b) and a is not b and a.requires_grad and not b.requires_grad for a, b in pairs)


def test_levels_are_shifted_to_noise(recipe: Callable[..., DistillationRecipe]) -> None:
    student = Student(dataclasses.replace(recipe(Progressive()), shift=3.0))
    student.prepare(torch.device("cpu"))
    torch.testing.assert_close(student.levels, torch.tensor([1.0, 0.75, 0.0]))


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_a_student_may_be_given_positions(recipe: Callable[..., DistillationRecipe], lora_rank: int) -> None:
    """Tables of zeros, which learn; the teacher has none, and the student's checkpoint says that it has."""
    student = Student(dataclasses.replace(recipe(Progressive(), lora_rank=lora_rank), positions=True))
    own, of_teacher = dict(student.module.named_parameters()), dict(student.teacher.named_parameters())
    assert {"rows", "columns"} <= {name for name, p in own.items() if p.requires_grad and not p.any()}
    assert "rows" not in of_teacher
    made = student._checkpoint(student.module).config.denoiser
    assert made == dataclasses.replace(student.checkpoint.config.denoiser, positions=True)  # type: ignore[arg-type]


def test_latents_come_with_one_of_their_own_captions(student: Student) -> None:
    batch = student.batch(32, torch.Generator().manual_seed(0))
    bank, text = student.latents, student.text
    for x0, states in zip(batch.x0, batch.states, strict=True):
        (index,) = (bank.latents == x0).all((1, 2, 3)).nonzero()[0]
        own = slice(int(bank.first[index]), int(bank.first[index] + bank.count[index]))
        assert (text.states[own].float() == states).all((1, 2)).any()


def test_guidance_is_a_line_through_both_branches(student: Student) -> None:
    batch = student.batch(3, torch.Generator().manual_seed(0))
    x, sigma = torch.randn_like(batch.x0), torch.tensor([0.2, 0.5, 1.0])
    empty = student.without_text(batch)
    u_0 = student.teacher(x, 1000 * sigma, empty.states, empty.mask)
    u_c = student.teacher(x, 1000 * sigma, batch.states, batch.mask)
    torch.testing.assert_close(student.guided(x, sigma, batch, 1.0), u_c)
    torch.testing.assert_close(student.guided(x, sigma, batch, 0.0), u_0)
    assert student.guidance == 3.0  # the teacher's own
    torch.testing.assert_close(student.guided(x, sigma, batch), u_0 + 3 * (u_c - u_0), atol=1e-5, rtol=1e-5)


def test_captions_are_dropped_at_the_rate(student: Student) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = student.with_dropout(student.batch(200, generator), 0.5, generator)
    empty = student.without_text(batch)
    dropped = (batch.states == empty.states).all((1, 2))
    assert 70 < dropped.sum() < 130
    assert torch.equal(batch.mask[dropped], empty.mask[dropped])


def test_prompts_of_the_sheet_were_held_out(student: Student) -> None:
    prompts = held_out_prompts(student.dataset, 64)
    assert len(prompts) == len(student.dataset.split("compose")) > 0


def test_written_checkpoint_says_how_it_was_made(
    student: Student, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    student.write(student.module, tmp_path)
    made = Checkpoint.load(tmp_path).config
    assert made.training["teacher_guidance"] == 3.0
    assert made.training["data_digest"] == student.dataset.digest
    assert made.latent == checkpoint.config.latent
    assert (made.sampling.steps, made.sampling.shift) == (2, 1.0)


def test_students_without_steps_are_refused(recipe: Callable[..., DistillationRecipe]) -> None:
    config = recipe(Progressive())
    with pytest.raises(ValueError, match="steps and shift must be positive, found 0 and 1"):
        StudentConfig(config.run, config.teacher, "s", steps=0)

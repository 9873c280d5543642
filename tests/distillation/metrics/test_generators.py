from pathlib import Path

import numpy as np
import pytest
import torch

from fewstep.pipeline import Pipeline
from fewstep_distillation.metrics.generators import BundleGenerator, TorchGenerator, checkpoint_table
from fewstep_export.checkpoints.native import build_native
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export_generator
from fewstep_models.checkpoint import Checkpoint
from fewstep_models.minilm import MiniLM

PROMPTS = ["red circle, flat style", "blue square, glossy style", "gold circle, simple style"]


@pytest.fixture(scope="module")
def torch_generator(checkpoint: Checkpoint, text_encoder: MiniLM, tokenizer: Path) -> TorchGenerator:
    table = checkpoint_table(checkpoint, None, None)
    return TorchGenerator(
        checkpoint, table, 3.0, batch_size=2, text_encoder=text_encoder, tokenizer=tokenizer
    )


def test_a_bundle_draws_what_its_checkpoint_draws(
    checkpoint: Checkpoint,
    torch_generator: TorchGenerator,
    text_encoder: MiniLM,
    tokenizer: Path,
    tmp_path: Path,
) -> None:
    source = build_native(checkpoint, "0" * 64, text_encoder, tokenizer)
    bundle = export_generator(source, ExportConfig("tiny", tmp_path / "tiny.fewstep", precisions=("fp32",)))
    pipeline = Pipeline(bundle)
    by_bundle = BundleGenerator(pipeline, pipeline.bundle.step_table(), 3.0)
    expected, found = (g.generate(PROMPTS, seed=5) for g in (torch_generator, by_bundle))
    assert expected.shape == found.shape == (3, 32, 32, 4)
    # Straight colour is ill-conditioned where alpha is small, so the comparison is of what is seen, on black.
    seen = [pictures[..., :3] * (pictures[..., 3:] / 255.0) for pictures in (expected, found)]
    np.testing.assert_allclose(seen[0], seen[1], atol=2)
    assert expected.std() > 10  # not a constant picture
    assert by_bundle.facts["step_table"] == torch_generator.facts["step_table"] == "flow-dpm++2m-3"


def test_a_picture_depends_on_its_prompt_and_its_seed(torch_generator: TorchGenerator) -> None:
    pictures = torch_generator.generate(PROMPTS, seed=5)
    np.testing.assert_array_equal(pictures, torch_generator.generate(PROMPTS, seed=5))
    # Picture k has the noise of seed + k, whichever batch it is in.
    shifted = torch_generator.generate(PROMPTS[1:], seed=6)
    assert np.abs(pictures[1:].astype(int) - shifted).max() <= 1
    assert np.abs(pictures.astype(int) - torch_generator.generate(PROMPTS, seed=6)).max() > 20
    assert np.abs(pictures.astype(int) - torch_generator.generate(PROMPTS[::-1], seed=5)).max() > 5


def test_bf16_draws_nearly_the_same(
    checkpoint: Checkpoint, torch_generator: TorchGenerator, text_encoder: MiniLM, tokenizer: Path
) -> None:
    table = checkpoint_table(checkpoint, None, None)
    half = TorchGenerator(
        checkpoint, table, 3.0, dtype=torch.bfloat16, text_encoder=text_encoder, tokenizer=tokenizer
    )
    expected, found = (g.generate(PROMPTS, seed=5)[..., 3].astype(int) for g in (torch_generator, half))
    assert 0 < np.abs(expected - found).mean() < 8
    assert half.facts["dtype"] == "bfloat16"

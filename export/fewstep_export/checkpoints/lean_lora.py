"""LoRA files on a folder without values: W + s B A is computed whenever W is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fewstep_export.checkpoints.folder import quiet
from fewstep_export.checkpoints.lean import LeanFolder
from fewstep_export.checkpoints.lora import attach, digest_with, require_lora_pipeline
from fewstep_export.config import Lora


@dataclass(frozen=True)
class LoraFolder(LeanFolder):
    """A folder without values to whose weights LoRA files add.

    Attributes:
        loras: the files.
    """

    loras: tuple[Lora, ...] = ()

    def contents_sha256(self) -> str:
        """Of the checkpoint and the files."""
        return digest_with(super().contents_sha256(), self.loras)


def add_loras(base: LeanFolder, loras: Sequence[Lora]) -> LeanFolder:
    """The folder with the files added to its weights as they are read, or itself without any.

    Raises:
        FewstepError: a file is missing, is a pickle file, or does not fit the pipeline.
    """
    if not loras:
        return base
    folder = LoraFolder(base.path, base.index, base.digest, loras=tuple(loras))
    pipeline = folder.pipeline()
    require_lora_pipeline(pipeline, folder)
    for k, lora in enumerate(loras):
        _add(folder, attach(pipeline, lora, k), lora.scale)
        with quiet():
            pipeline.unload_lora_weights()
    return folder


def _add(folder: LeanFolder, adapter: str, scale: float) -> None:
    """Notes what the layers of an adapter add; peft's arithmetic is called when a weight is read."""
    for part, network in folder.networks.items():
        for path, layer in network.named_modules():
            if adapter in getattr(layer, "lora_A", {}):
                folder.change(part, f"{path}.weight", partial(_change, layer, adapter, scale))


def _change(layer: Any, adapter: str, scale: float) -> Tensor:
    with torch.inference_mode():
        change: Tensor = scale * layer.get_delta_weight(adapter)
    return change

"""LoRA files fused into the weights of a pipeline: W + s B A, by diffusers and peft; nothing of them is left in the graphs."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from fewstep.errors import FewstepError
from fewstep_export.checkpoints.folder import Folder, as_user_error, quiet
from fewstep_export.checkpoints.weights import refuse_pickle
from fewstep_export.config import Lora


@dataclass(frozen=True)
class FusedFolder(Folder):
    """A pipeline with LoRA files fused into its networks.

    Attributes:
        base: the pipeline without them.
        loras: the files.
        fused: the parts that they may change.
    """

    base: Folder
    loras: tuple[Lora, ...]
    fused: Mapping[str, nn.Module]

    @property
    def name(self) -> str:
        """The name of the pipeline."""
        return self.base.name

    def module(self, part: str) -> nn.Module:
        """A network; see `Folder.module`."""
        return self.fused[part] if part in self.fused else self.base.module(part)

    def pipeline(self) -> Any:
        """The pipeline of diffusers with the files beside its weights, not fused."""
        pipeline = self.base.pipeline()
        names = [attach(pipeline, lora, k) for k, lora in enumerate(self.loras)]
        with quiet():
            pipeline.set_adapters(names, [lora.scale for lora in self.loras])
        return pipeline

    def sha256(self) -> str:
        """Of the pipeline and the files."""
        return digest_with(self.base.sha256(), self.loras)


def fuse_loras(base: Folder, loras: Sequence[Lora]) -> Folder:
    """The pipeline with the files fused, or itself without any.

    Raises:
        FewstepError: a file is missing, is a pickle file, or does not fit the pipeline.
    """
    if not loras:
        return base
    pipeline = base.pipeline()
    require_lora_pipeline(pipeline, base)
    parts = [name for name in pipeline.components if name.startswith(("unet", "transformer", "text_encoder"))]
    parts = [name for name in parts if base.has(name)]
    pipeline.register_modules(**{part: base.module(part) for part in parts})  # whose weights are checked
    for k, lora in enumerate(loras):
        name = attach(pipeline, lora, k)
        with quiet():
            pipeline.fuse_lora(adapter_names=[name], lora_scale=lora.scale)
            pipeline.unload_lora_weights()
    fused = {part: pipeline.components[part].eval().requires_grad_(False) for part in parts}
    return FusedFolder(base.path, base.index, base, tuple(loras), fused)


def digest_with(checkpoint: str, loras: Sequence[Lora]) -> str:
    """SHA-256 of a checkpoint, whose own is given, with files and their scales."""
    total = hashlib.sha256(checkpoint.encode())
    for lora in loras:
        total.update(f"{lora.scale}".encode() + lora.path.read_bytes())
    return total.hexdigest()


def require_lora_pipeline(pipeline: Any, folder: Folder) -> None:
    """Refuses a pipeline that takes no LoRA files.

    Raises:
        FewstepError: it is one.
    """
    if not hasattr(pipeline, "load_lora_weights"):
        raise FewstepError(
            f"expected a pipeline that takes LoRA files, found {type(pipeline).__name__}, at {folder.path}; leave out --lora"
        )


def attach(pipeline: Any, lora: Lora, k: int) -> str:
    """Puts the layers of a file beside those of the pipeline, and returns their name; all must fit.

    Raises:
        FewstepError: the file is missing, is a pickle file, or a part of it fits nothing.
    """
    refuse_pickle(lora.path)
    if not lora.path.is_file():
        raise FewstepError(f"expected a LoRA file, found none, at {lora.path}; check the path")
    name = f"lora_{k}"
    with quiet(), as_user_error("a LoRA file that fits the pipeline", lora.path):
        where = {"weight_name": lora.path.name, "local_files_only": True, "use_safetensors": True}
        state = pipeline.lora_state_dict(str(lora.path.parent), **where)
        pipeline.load_lora_weights(str(lora.path.parent), adapter_name=name, **where)
    weights = state[0] if isinstance(state, tuple) else state
    given = sum(_is_down(key) for key in weights)
    found = sum(name in getattr(part, "lora_A", {}) for part in _layers(pipeline))
    if not given or found != given:
        raise FewstepError(
            f"expected a LoRA file for this pipeline, found {given} pairs of weights, {found} of which fit, in {lora.path}; take "
            "one that was trained on this model"
        )
    return name


def _is_down(key: str) -> bool:
    return key.endswith(
        (".lora_A.weight", ".lora.down.weight", "_lora.down.weight", ".lora_linear_layer.down.weight")
    )


def _layers(pipeline: Any) -> list[nn.Module]:
    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    return [layer for part in parts for layer in part.modules()]

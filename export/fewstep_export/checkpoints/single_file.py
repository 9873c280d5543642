"""A checkpoint in one safetensors file, as CompVis and ComfyUI write it, read by diffusers.

Diffusers fetches the configurations for such a file from the network. Without it, a folder must hold them: a pipeline of the same
kind as `save_pretrained` writes it, its weights left out.
"""

import hashlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fewstep.errors import FewstepError
from fewstep_export.checkpoints.folder import INDEX, Folder, as_user_error, quiet
from fewstep_export.checkpoints.weights import refuse_pickle
from fewstep_export.large.weights import WeightFiles


@dataclass(frozen=True)
class SingleFile(Folder):
    """A folder of configurations whose weights are in a file.

    Attributes:
        file: the weights.
        loaded: the parts that are networks.
    """

    file: Path
    loaded: Mapping[str, nn.Module]

    @property
    def name(self) -> str:
        """The name of the file without its ending."""
        return self.file.stem

    def module(self, part: str) -> nn.Module:
        """A network; see `Folder.module`."""
        self.require(part)
        if part not in self.loaded:
            raise FewstepError(
                f"expected the weights of '{part}', found none, in {self.file}; take a file with the whole pipeline"
            )
        return self.loaded[part]

    def pipeline(self) -> Any:
        """The pipeline of diffusers."""
        return _load(self.file, Folder(self.path, self.index))

    def sha256(self) -> str:
        """Of the configurations and the file."""
        with self.file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return hashlib.sha256((super().sha256() + digest).encode()).hexdigest()


def open_single_file(file: Path, configurations: Path | None) -> SingleFile:
    """Reads a file with a folder of configurations.

    Raises:
        FewstepError: the file is a pickle file or damaged, there are no configurations, or diffusers cannot read the one with the other.
    """
    refuse_pickle(file)
    if configurations is None:
        raise FewstepError(
            f"expected --config with the configurations of the pipeline, found none, for {file.name}; a single file holds weights "
            f"alone, so give a folder with {INDEX} and the folders beside it, as diffusers' save_pretrained writes them"
        )
    WeightFiles.read_heads([file])
    folder = Folder.open(configurations)
    pipeline = _load(file, folder)
    modules = {
        name: part.eval().requires_grad_(False)
        for name, part in pipeline.components.items()
        if isinstance(part, nn.Module)
    }
    return SingleFile(folder.path, folder.index, file, modules)


def _load(file: Path, folder: Folder) -> Any:
    import diffusers

    kind: Any = getattr(diffusers, str(folder.index.get("_class_name")), None)
    if not hasattr(kind, "from_single_file"):
        raise FewstepError(
            f"expected a pipeline that diffusers reads from one file, found '{folder.index.get('_class_name')}', in "
            f"{folder.path / INDEX}; give a folder of the whole pipeline"
        )
    with quiet(), as_user_error(f"weights that {kind.__name__} reads", file):
        try:
            return kind.from_single_file(
                str(file), config=str(folder.path), torch_dtype=torch.float32, local_files_only=True
            )
        except NotImplementedError as error:
            if (missing := _first_missing(error)) is None:
                raise
            raise FewstepError(
                f"expected the weight '{missing}', found no such weight, in {file}; the configurations are those of another model"
            ) from error


def _first_missing(error: BaseException) -> str | None:
    """The weight that diffusers could not fill: it stumbles over it without a name, with the half-filled module in its frame."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = frame.f_locals.get("model")
        if isinstance(module, nn.Module):
            empty = [name for name, value in module.state_dict().items() if value.is_meta]
            return empty[0] if empty else None
    return None

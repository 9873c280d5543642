"""A diffusers folder whose networks have shapes and no values: tracing needs none, and what is written reads them one by one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from accelerate import init_empty_weights
from torch import Tensor, nn

from fewstep_export.checkpoints.folder import Folder, as_user_error, quiet
from fewstep_export.checkpoints.weights import COMPUTED, find_weights
from fewstep_export.large.trace import give_shapes
from fewstep_export.large.weights import Shape, WeightFiles, require

_COMPUTED = ("position_ids", "inv_freq")
"""Last parts of the names of what old checkpoints hold and the modules compute."""
_OLD_ATTENTION = ((".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn."))  # fmt: skip
"""Names in autoencoders that were saved before diffusers 0.13."""


@dataclass(frozen=True)
class StoredWeight:
    """A weight in a file, and what is added to it: LoRA files."""

    files: WeightFiles
    name: str
    changes: tuple[Callable[[], Tensor], ...] = ()

    @property
    def shape(self) -> Shape:
        """Its shape."""
        return self.files.shapes[self.name]

    def read(self) -> npt.NDArray[np.float32]:
        """The weight as float32."""
        values = self.files.read(self.name)
        for change in self.changes:
            values = values + change().detach().float().numpy()
        return values


@dataclass(frozen=True)
class StoredWeights:
    """Weights by the names of a module's parameters; see `fewstep_export.large.weights.Weights`."""

    stored: Mapping[str, StoredWeight]

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Shape by name."""
        return {name: weight.shape for name, weight in self.stored.items()}

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """One weight as float32."""
        return self.stored[name].read()


@dataclass(frozen=True)
class LeanFolder(Folder):
    """A diffusers folder; every parameter of its networks is one number, repeated without memory.

    Attributes:
        digest: what is told for SHA-256 of the checkpoint: reading all of it takes long, and `contents_sha256` does it when it is wanted.
        networks: what was asked for, by part.
        stored: the weights of these, by part.
    """

    digest: str = ""
    networks: dict[str, nn.Module] = field(default_factory=dict)
    stored: dict[str, StoredWeights] = field(default_factory=dict)

    @classmethod
    def open_lean(cls, path: Path, digest: str = "") -> "LeanFolder":
        """Reads model_index.json; see `Folder.open`."""
        return cls(path, Folder.open(path).index, digest)

    def module(self, part: str) -> nn.Module:
        """A network without values, its weights' names and shapes checked; see `Folder.module`."""
        if part not in self.networks:
            module = self._build(part)
            self.stored[part] = _stored(module, WeightFiles.read_heads(find_weights(self.path / part).files))
            require(self.stored[part], _shapes(module), f"the weights of {self.path / part}")
            self.networks[part] = module
        return self.networks[part]

    def pipeline(self) -> Any:
        """The pipeline of diffusers around the networks without values, for what knows pipelines alone."""
        import diffusers

        parts = [part for part in self.index if self.has(part)]
        shells = {part: self.module(part) for part in parts if self._is_network(part)}
        left_out = {part: None for part, entry in self.index.items() if entry == [None, None]}
        with quiet(), as_user_error("a folder that diffusers loads", self.path):
            return diffusers.DiffusionPipeline.from_pretrained(
                self.path, **left_out, **shells, local_files_only=True
            )

    def sha256(self) -> str:
        """The digest that it was given."""
        return self.digest

    def contents_sha256(self) -> str:
        """Of the checkpoint; see `Folder.sha256`."""
        return super().sha256()

    def change(self, part: str, name: str, change: Callable[[], Tensor]) -> None:
        """Adds to a weight whenever it is read."""
        stored = self.stored[part].stored
        changed = replace(stored[name], changes=(*stored[name].changes, change))
        self.stored[part] = StoredWeights({**stored, name: changed})

    def weights(self, module: nn.Module) -> StoredWeights:
        """The weights of a module that holds networks of this folder."""
        parts = {id(network): part for part, network in self.networks.items()}
        found = {
            f"{prefix}.{name}".lstrip("."): weight
            for prefix, inner in module.named_modules()
            if id(inner) in parts
            for name, weight in self.stored[parts[id(inner)]].stored.items()
        }
        return StoredWeights(found)

    def _is_network(self, part: str) -> bool:
        return isinstance(kind := self._kind(part), type) and issubclass(kind, nn.Module)

    def _build(self, part: str) -> nn.Module:
        kind, folder = self._kind(part), self.path / part
        with (
            quiet(),
            as_user_error(f"a configuration that {kind.__name__} can be built from", folder),
            init_empty_weights(include_buffers=False),
        ):
            if self.index[part][0] == "diffusers":
                module = kind.from_config(kind.load_config(folder, local_files_only=True))
            else:
                module = kind._from_config(kind.config_class.from_pretrained(folder, local_files_only=True))
        module.float()  # on the meta device, where it costs nothing
        give_shapes(module, kind.__name__)
        result: nn.Module = module.eval().requires_grad_(False)
        return result


def _shapes(module: nn.Module) -> Mapping[str, Shape]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def _stored(module: nn.Module, files: WeightFiles) -> StoredWeights:
    """The weights by the names of the parameters; what the module does not know keeps its own name, to be refused."""
    names = {
        name: next((other for other in _spellings(module, name) if other in files.shapes), None)
        for name in module.state_dict()
    }
    known = {other for other in names.values() if other is not None}
    rest = {name: name for name in files.shapes if name not in known and not _is_computed(name)}
    return StoredWeights(
        {name: StoredWeight(files, other) for name, other in {**rest, **names}.items() if other is not None}
    )


def _is_computed(name: str) -> bool:
    return name in COMPUTED or name.rpartition(".")[2] in _COMPUTED


def _spellings(module: Any, name: str) -> Iterator[str]:
    """The names under which a weight may lie in a file."""
    yield name
    tied: object = getattr(module, "_tied_weights_keys", None)
    if isinstance(tied, Mapping):  # of transformers: two names of one weight, of which one is stored
        yield from (other for one, other in tied.items() if one == name)
        yield from (one for one, other in tied.items() if other == name)
    if prefix := getattr(module, "base_model_prefix", ""):  # which models of transformers lose and gain
        yield f"{prefix}.{name}"
        yield name.removeprefix(f"{prefix}.")
    yield f"text_model.{name}"  # of CLIP, before transformers 5
    for new, old in _OLD_ATTENTION:
        yield name.replace(new, old)

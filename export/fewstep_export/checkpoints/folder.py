"""A folder as `DiffusionPipeline.save_pretrained` writes it: parts with a configuration and weights each, listed in model_index.json."""

import contextlib
import hashlib
import importlib
import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fewstep.errors import FewstepError
from fewstep_export.checkpoints.weights import check_loaded, find_weights

INDEX = "model_index.json"
LIBRARIES = ("diffusers", "transformers")


@dataclass(frozen=True)
class Folder:
    """A diffusers folder; its parts are loaded when they are asked for, on the CPU in float32."""

    path: Path
    index: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> "Folder":
        """Reads model_index.json.

        Raises:
            FewstepError: there is none, or it is no object.
        """
        return cls(path, _object(path / INDEX))

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.path.resolve().name

    def has(self, part: str) -> bool:
        """Whether the pipeline has that part; one may be listed as [null, null]."""
        entry = self.index.get(part)
        return isinstance(entry, list) and len(entry) == 2 and None not in entry

    def config(self, part: str) -> Mapping[str, Any]:
        """The configuration of a part.

        Raises:
            FewstepError: it is missing or no JSON object.
        """
        self.require(part)
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        return _object(self.path / part / name)

    def class_name(self, part: str) -> str:
        """The class of a part, as the index names it."""
        self.require(part)
        return str(self.index[part][1])

    def module(self, part: str) -> nn.Module:
        """A network with its weights, checked one by one, in evaluation mode.

        Raises:
            FewstepError: the class is unknown, the configuration asks for a block that this diffusers does not have, the weights are
                a pickle file, or a weight is missing, too many or of a wrong shape.
        """
        kind, folder = self._kind(part), self.path / part
        weights = find_weights(folder)
        with quiet(), as_user_error(f"a configuration that {kind.__name__} can be built from", folder):
            module, info = kind.from_pretrained(
                folder,
                torch_dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                variant=weights.variant,
                ignore_mismatched_sizes=True,  # they are in the report, and refused below
                output_loading_info=True,
            )
        check_loaded(info, module, weights)
        result: nn.Module = module.eval().requires_grad_(False)
        return result

    def tokenizer(self, part: str) -> Any:
        """A tokenizer of transformers.

        Raises:
            FewstepError: its files are missing or damaged.
        """
        kind = self._kind(part)
        with quiet(), as_user_error(f"the files of a {kind.__name__}", self.path / part):
            return kind.from_pretrained(self.path / part, local_files_only=True)

    def pipeline(self) -> Any:
        """The pipeline of diffusers on the CPU in float32.

        Raises:
            FewstepError: diffusers cannot load it.
        """
        import diffusers

        left_out = {part: None for part, entry in self.index.items() if entry == [None, None]}
        with quiet(), as_user_error("a folder that diffusers loads", self.path):
            return diffusers.DiffusionPipeline.from_pretrained(
                self.path,
                **left_out,
                torch_dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
            )

    def licence(self) -> str:
        """The licence in the head of README.md, if it stands there."""
        card = self.path / "README.md"
        text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
        found = re.search(r"^licen[sc]e:\s*(\S+)", text, re.MULTILINE)
        return found.group(1) if found else "not stated"

    def sha256(self) -> str:
        """The SHA-256 of every file of the parts in use, by name in order."""
        total = hashlib.sha256()
        for path in sorted(p for p in self.path.rglob("*") if p.suffix in _CONTENT):
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").digest()
            total.update(path.relative_to(self.path).as_posix().encode() + b"\0" + digest)
        return total.hexdigest()

    def require(self, part: str) -> None:
        """Refuses a pipeline without that part.

        Raises:
            FewstepError: it has none.
        """
        if not self.has(part):
            parts = ", ".join(key for key in self.index if self.has(key)) or "none"
            raise FewstepError(
                f"expected the part '{part}', found {parts}, in {self.path / INDEX}; give a whole pipeline"
            )

    def _kind(self, part: str) -> Any:
        self.require(part)
        library, name = self.index[part]
        if library not in LIBRARIES:
            raise FewstepError(
                f"expected a class of diffusers or transformers, found '{library}.{name}', for part '{part}' of "
                f"{self.path}; code inside a checkpoint is not run"
            )
        with quiet():
            kind = getattr(importlib.import_module(library), name, None)
        if kind is None:
            version = importlib.import_module(library).__version__
            raise FewstepError(
                f"expected a class of {library} {version}, found '{name}', for part '{part}' of {self.path}; "
                f"install a {library} that has it"
            )
        return kind


_CONTENT = (".json", ".safetensors", ".txt", ".model")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' remarks and progress bars: what matters in them is raised."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    before = [library.get_verbosity() for library in libraries]
    bars = [library.is_progress_bar_enabled() for library in libraries]
    try:
        for library in libraries:
            library.set_verbosity(logging.CRITICAL)
            library.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for library, level, bar in zip(libraries, before, bars, strict=True):
            library.set_verbosity(level)
            if bar:
                library.enable_progress_bar()


@contextlib.contextmanager
def as_user_error(expected: str, where: Path) -> Iterator[None]:
    """Turns what the libraries raise about a folder into one sentence."""
    try:
        yield
    except FewstepError:
        raise
    except (
        AttributeError,
        KeyError,
        NotImplementedError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise FewstepError(
            f"expected {expected}, found: {lines[0][:200]}, in {where}; correct the folder, or update diffusers and transformers"
        ) from error


def _object(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FewstepError(
            f"expected the file {path.name}, found none, in {path.parent}; give the folder of a diffusers pipeline"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FewstepError(
            f"expected JSON, found something else ({error}), in {path}; download the file again"
        ) from None
    if not isinstance(value, dict):
        raise FewstepError(
            f"expected an object, found {type(value).__name__}, in {path}; download the file again"
        )
    return value

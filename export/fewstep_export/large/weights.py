"""The weights of a network as they lie on disk: safetensors files, read tensor by tensor when somebody asks."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from fewstep.errors import FewstepError

INDEX_SUFFIX = ".safetensors.index.json"
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


Shape = tuple[int, ...]


class Weights(Protocol):
    """The weights of a network by the names of its parameters, read when somebody asks."""

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Shape by name."""
        ...

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """One weight as float32; nothing else is kept in memory."""
        ...


@dataclass(frozen=True)
class WeightFiles:
    """Which file holds which tensor, and its shape.

    Attributes:
        where: file by tensor name.
        shapes: shape by tensor name.
    """

    where: Mapping[str, Path]
    shapes: Mapping[str, Shape]

    @classmethod
    def open(cls, path: Path) -> "WeightFiles":
        """The tensors of one safetensors file, of the shards of an index (``*.safetensors.index.json``), or of a folder with either.

        Raises:
            FewstepError: there is no such file, it is damaged, or it is a pickle, which runs code when it is read.
        """
        return cls.read_heads(_files(path))

    @classmethod
    def read_heads(cls, files: Iterable[Path]) -> "WeightFiles":
        """The tensors of safetensors files.

        Raises:
            FewstepError: one of them is damaged.
        """
        where: dict[str, Path] = {}
        shapes: dict[str, Shape] = {}
        for file in files:
            try:
                with safe_open(file, "np") as reader:
                    for name in reader.keys():  # noqa: SIM118 - not a dict
                        where[name] = file
                        shapes[name] = tuple(reader.get_slice(name).get_shape())
            except (OSError, SafetensorError) as error:
                raise FewstepError(
                    f"expected a safetensors file, found a damaged one ({error}), at {file}; fetch it again"
                ) from error
        return cls(where, shapes)

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """One tensor as float32; nothing else is kept in memory."""
        with safe_open(self.where[name], "pt") as reader:  # torch, as numpy has no bfloat16
            tensor: torch.Tensor = reader.get_tensor(name)
        values: npt.NDArray[np.float32] = tensor.to(torch.float32).numpy()
        return values


def require(weights: Weights, expected: Mapping[str, Shape], what: str) -> None:
    """Checks names and shapes against those of a network.

    Raises:
        FewstepError: a weight is missing, there is one too many, or one has another shape.
    """
    shapes, advice = weights.shapes, f"in {what}; use the weights of that configuration"
    for name, shape in expected.items():
        if name not in shapes:
            raise FewstepError(
                f"expected the weight '{name}' {list(shape)}, found none of that name, {advice}"
            )
        if shapes[name] != tuple(shape):
            raise FewstepError(
                f"expected the weight '{name}' as {list(shape)}, found {list(shapes[name])}, {advice}"
            )
    if extra := sorted(set(shapes) - set(expected)):
        raise FewstepError(
            f"expected no further weight, found '{extra[0]}' and {len(extra) - 1} more, {advice}"
        )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        path = _in_folder(path)
    if path.suffix in PICKLES:
        raise FewstepError(
            f"expected safetensors weights, found a pickle, at {path}; reading one runs its code: convert it where you trust it"
        )
    if not path.is_file():
        raise FewstepError(f"expected weights at {path}, found no file; check the path")
    return shards(path) if path.name.endswith(INDEX_SUFFIX) else [path]


def shards(index: Path) -> list[Path]:
    """The files that an index names.

    Raises:
        FewstepError: it is no index, or a file is missing.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (KeyError, ValueError, AttributeError) as error:
        raise FewstepError(
            f"expected an index with 'weight_map', found something else ({error}), in {index}; fetch it again"
        ) from error
    for name in names:
        if not (index.parent / name).is_file():
            raise FewstepError(
                f"expected the file {name} that {index.name} names, found none, in {index.parent}; fetch the whole checkpoint"
            )
    return [index.parent / name for name in names]


def _in_folder(folder: Path) -> Path:
    """The index of a folder, else its only safetensors file."""
    found = sorted(folder.glob(f"*{INDEX_SUFFIX}")) or sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return found[0]
    if not found and (pickled := sorted(p for p in folder.iterdir() if p.suffix in PICKLES)):
        return pickled[0]
    names = ", ".join(p.name for p in found) or "none"
    raise FewstepError(
        f"expected one safetensors file or one index, found {names}, in {folder}; name the file"
    )

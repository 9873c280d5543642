"""Weight files of a part: safetensors only, and every weight as the configuration says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from fewstep.errors import FewstepError
from fewstep_export.large.weights import INDEX_SUFFIX, PICKLES, WeightFiles, shards

COMPUTED = {"pos_embed.pos_embed"}
"""What old checkpoints hold and the module computes."""


@dataclass(frozen=True)
class Weights:
    """The weight files of a part.

    Attributes:
        folder: where they are.
        variant: the middle part of their name, as in `model.fp16.safetensors`; None without.
    """

    folder: Path
    variant: str | None

    @property
    def files(self) -> list[Path]:
        """All files of the variant, in order."""
        return sorted(
            path for path in self.folder.glob("*.safetensors") if _variant(path.name) == self.variant
        )


def find_weights(folder: Path) -> Weights:
    """The safetensors files of a part; the plain ones, or else those of a variant.

    Raises:
        FewstepError: there are only pickle files, or none at all, one is damaged, or a shard that the index names is missing.
    """
    if not folder.is_dir():
        raise FewstepError(
            f"expected a folder with weights, found none, at {folder}; download the whole checkpoint"
        )
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    if not names:
        refuse_pickles(folder)
        raise FewstepError(
            f"expected safetensors weights, found none, in {folder}; download the whole checkpoint"
        )
    variants = {_variant(name) for name in names}
    weights = Weights(folder, None if None in variants else min(v for v in variants if v))
    WeightFiles.read_heads(weights.files)
    for index in folder.glob(f"*{INDEX_SUFFIX}") if weights.variant is None else ():
        shards(index)
    return weights


def refuse_pickles(folder: Path) -> None:
    """Refuses a folder whose weights are pickle files.

    Raises:
        FewstepError: there is one.
    """
    for path in sorted(folder.iterdir()):
        refuse_pickle(path)


def refuse_pickle(path: Path) -> None:
    """Refuses a pickle file.

    Raises:
        FewstepError: it is one, by its name.
    """
    if path.suffix in PICKLES:
        raise FewstepError(
            f"expected safetensors weights, found the pickle file {path.name}, in {path.parent}; loading it could run code, so "
            "convert it to safetensors first"
        )


def check_loaded(info: Mapping[str, Any], module: nn.Module, weights: Weights) -> None:
    """Refuses weights that are not exactly those of the module.

    Args:
        info: the report of `from_pretrained`.
        module: what was loaded.
        weights: its files.

    Raises:
        FewstepError: a weight is missing, too many, or of another shape; the first is named.
    """
    kind = type(module).__name__
    advice = f"for {kind}, in {weights.folder}; config.json and weights do not belong together"
    for name, found, expected in sorted(info["mismatched_keys"]):
        raise FewstepError(
            f"expected the shape {list(expected)} of weight '{name}', found {list(found)}, {advice}"
        )
    for name in sorted(info["missing_keys"]):
        raise FewstepError(f"expected the weight '{name}', found no such weight, {advice}")
    for name in sorted(set(info["unexpected_keys"]) - COMPUTED):
        raise FewstepError(f"expected no further weight, found '{name}', {advice}")


def _variant(name: str) -> str | None:
    """`fp16` of `model.fp16.safetensors` and of `model.fp16-00001-of-00002.safetensors`; None of `model.safetensors`."""
    middle = name.removesuffix(".safetensors").split(".")[1:]
    return middle[0].split("-")[0] if middle else None

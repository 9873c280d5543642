"""Weights that are not those of the configuration, and pickle files, are refused by name."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fewstep.errors import FewstepError
from fewstep_export.checkpoints.folder import Folder
from fewstep_export.checkpoints.weights import find_weights

Weights = dict[str, torch.Tensor]


@pytest.fixture
def copy(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A Stable Diffusion folder that a test may break."""
    return Path(shutil.copytree(checkpoint("sd1"), tmp_path / "copy"))


def change(file: Path, edit: Callable[[Weights], object]) -> None:
    """Edits the weights of a file."""
    weights = load_file(file)
    edit(weights)
    save_file(weights, file, metadata={"format": "pt"})


FILES = {
    "unet": ("diffusion_pytorch_model.safetensors", "conv_in.weight"),
    "vae": ("diffusion_pytorch_model.safetensors", "decoder.conv_in.bias"),
    "text_encoder": ("model.safetensors", "embeddings.position_embedding.weight"),
}


@pytest.mark.parametrize("part", FILES)
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", r"expected the weight '{name}', found no such weight, for \w+, in .*{part}; config.json"),
        ("extra", r"expected no further weight, found 'extra.weight', for \w+, in .*{part}"),
        ("shape", r"expected the shape \[.*\] of weight '{name}', found \[3, 5\], for \w+, in .*{part}"),
    ],
)
def test_every_weight_must_be_there_and_no_other(copy: Path, part: str, kind: str, message: str) -> None:
    file, name = FILES[part]
    edits: dict[str, Callable[[Weights], object]] = {
        "missing": lambda weights: weights.pop(name),
        "extra": lambda weights: weights.update({"extra.weight": torch.zeros(2)}),
        "shape": lambda weights: weights.update({name: torch.zeros(3, 5)}),
    }
    change(copy / part / file, edits[kind])
    with pytest.raises(FewstepError, match=message.format(name=name, part=part)):
        Folder.open(copy).module(part)


def test_what_the_module_computes_may_be_left_from_old_times(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint("pixart_alpha"), tmp_path / "copy"))
    file = folder / "transformer/diffusion_pytorch_model.safetensors"
    change(file, lambda weights: weights.update({"pos_embed.pos_embed": torch.zeros(1, 16, 24)}))
    assert Folder.open(folder).module("transformer")


@pytest.mark.parametrize(
    "name", ["diffusion_pytorch_model.bin", "model.ckpt", "model.pt", "model.pth", "model.pkl"]
)
def test_pickle_files_are_refused_by_name(copy: Path, name: str) -> None:
    weights = copy / "unet/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name(name))
    with pytest.raises(
        FewstepError, match=f"found the pickle file {name}, in .*unet; loading it could run code"
    ):
        Folder.open(copy).module("unet")


def test_no_weights_at_all(copy: Path) -> None:
    (copy / "unet/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(FewstepError, match=r"safetensors weights, found none, in .*unet"):
        Folder.open(copy).module("unet")
    shutil.rmtree(copy / "vae")
    with pytest.raises(FewstepError, match=r"a folder with weights, found none, at .*vae"):
        Folder.open(copy).module("vae")


def test_a_variant_is_taken_where_there_is_nothing_else(copy: Path) -> None:
    weights = copy / "unet/diffusion_pytorch_model.safetensors"
    half = {name: value.half() for name, value in load_file(weights).items()}
    save_file(half, weights.with_name("diffusion_pytorch_model.fp16.safetensors"), metadata={"format": "pt"})
    assert find_weights(copy / "unet").variant is None
    weights.unlink()
    assert find_weights(copy / "unet").variant == "fp16"
    assert next(Folder.open(copy).module("unet").parameters()).dtype == torch.float32


def test_a_damaged_file_and_a_missing_shard_are_named(copy: Path) -> None:
    weights = copy / "unet/diffusion_pytorch_model.safetensors"
    index = weights.with_name("diffusion_pytorch_model.safetensors.index.json")
    index.write_text('{"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}')
    shutil.copy(weights, weights.with_name("part-1.safetensors"))
    with pytest.raises(
        FewstepError, match=r"the file part-2\.safetensors that .*index\.json names, found none"
    ):
        find_weights(copy / "unet")
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(
        FewstepError, match=r"found a damaged one .*, at .*unet/diffusion_pytorch_model\.safe"
    ):
        Folder.open(copy).module("unet")

"""A folder without values knows every weight that the folder with values has."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fewstep.errors import FewstepError
from fewstep_export.checkpoints.diffusers import load_diffusers
from fewstep_export.checkpoints.folder import Folder
from fewstep_export.checkpoints.lean import LeanFolder
from fewstep_export.components import Component, Generator

Checkpoint = Callable[[str], Path]
UNET = "unet/diffusion_pytorch_model.safetensors"


def modules(generator: Generator) -> list[torch.nn.Module]:
    return [component.module for component in generator.components if isinstance(component, Component)]


@pytest.mark.parametrize("name", ["sd1", "sdxl", "pixart_sigma", "dit", "sd3", "sana", "flux_dev"])
def test_every_weight_is_that_of_the_loaded_network(name: str, checkpoint: Checkpoint) -> None:
    path = checkpoint(name)
    size = 32 if name == "flux_dev" else None
    lean = LeanFolder.open_lean(path)
    for full, empty in zip(
        modules(load_diffusers(Folder.open(path), size)), modules(load_diffusers(lean, size)), strict=True
    ):
        weights, state = lean.weights(empty), full.state_dict()
        assert weights.shapes == {name: tuple(value.shape) for name, value in state.items()}
        for key, value in state.items():
            np.testing.assert_array_equal(weights.read(key), value.numpy())


def test_networks_hold_one_number_a_parameter(checkpoint: Checkpoint) -> None:
    generator = load_diffusers(LeanFolder.open_lean(checkpoint("sd1")))
    assert all(
        p.untyped_storage().nbytes() == 4 for module in modules(generator) for p in module.parameters()
    )


@pytest.fixture
def copy(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A Stable Diffusion folder that a test may change."""
    return Path(shutil.copytree(checkpoint("sd1"), tmp_path / "copy"))


def rename(file: Path, change: Callable[[str], str], cast: torch.dtype = torch.float32) -> None:
    """Saves the weights of a file under other names."""
    save_file(
        {change(name): value.to(cast) for name, value in load_file(file).items()}, file, {"format": "pt"}
    )


def old_names(name: str) -> str:
    """As diffusers wrote them in 2022."""
    for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
    return name


def test_names_of_old_checkpoints_are_read(copy: Path, checkpoint: Checkpoint) -> None:
    new = LeanFolder.open_lean(checkpoint("sd1"))
    expected = [new.weights(module).read for module in modules(load_diffusers(new))]
    rename(copy / "vae/diffusion_pytorch_model.safetensors", old_names)
    text = copy / "text_encoder/model.safetensors"
    rename(text, "text_model.{}".format)
    tables = {**load_file(text), "text_model.embeddings.position_ids": torch.arange(77)[None]}
    save_file(tables, text, {"format": "pt"})
    lean = LeanFolder.open_lean(copy)
    for module, read in zip(modules(load_diffusers(lean)), expected, strict=True):
        for name in module.state_dict():
            np.testing.assert_array_equal(lean.weights(module).read(name), read(name))


def test_the_plain_files_go_before_a_variant(copy: Path) -> None:
    shutil.copy(copy / UNET, copy / "unet/diffusion_pytorch_model.fp16.safetensors")
    rename(copy / "unet/diffusion_pytorch_model.fp16.safetensors", str, torch.float16)
    expected = load_file(copy / UNET)["conv_in.weight"].numpy()
    lean = LeanFolder.open_lean(copy)
    lean.module("unet")
    np.testing.assert_array_equal(lean.stored["unet"].read("conv_in.weight"), expected)
    (copy / UNET).unlink()
    lean = LeanFolder.open_lean(copy)
    lean.module("unet")
    found = lean.stored["unet"].read("conv_in.weight")
    assert found.dtype == np.float32 and not np.array_equal(found, expected)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name: "elsewhere" if name == "conv_in.weight" else name, r"the weight 'conv_in\.weight' .*found none"),
        (lambda name: name.replace("conv_norm_out.bias", "conv_out.bias"), r"'conv_norm_out\.bias' \[16\], found none"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named(copy: Path, change: Callable[[str], str], message: str) -> None:
    rename(copy / UNET, change)
    with pytest.raises(FewstepError, match=message):
        LeanFolder.open_lean(copy).module("unet")


def test_pickles_are_refused(copy: Path) -> None:
    (copy / UNET).rename(copy / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(FewstepError, match=r"found the pickle file diffusion_pytorch_model\.bin"):
        LeanFolder.open_lean(copy).module("unet")

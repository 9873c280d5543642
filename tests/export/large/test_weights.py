from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.export.large.conftest import Folder

from fewstep.errors import FewstepError
from fewstep_export.large.weights import WeightFiles, require
from fewstep_models.sana import SanaDenoiser


def test_reads_every_tensor_of_all_shards_as_float32(source: Folder, module: SanaDenoiser) -> None:
    weights, state = source.weights(), module.state_dict()
    assert set(weights.shapes) == set(state)
    assert len(set(weights.where.values())) == 2
    for name, value in state.items():
        found = weights.read(name)
        assert found.dtype == np.float32
        assert np.array_equal(found, value.numpy())


def test_bfloat16_is_read(tmp_path: Path) -> None:
    save_file({"a": torch.tensor([1.5, -2.0], dtype=torch.bfloat16)}, tmp_path / "w.safetensors")
    assert WeightFiles.open(tmp_path).read("a").tolist() == [1.5, -2.0]


def test_a_network_whose_weights_these_are_is_taken(source: Folder) -> None:
    require(source.weights(), source.network().weight_shapes(), "the weights")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": None}, r"the weight 'b' \[3\], found none"),
        ({"b": (4,)}, r"the weight 'b' as \[3\], found \[4\]"),
        ({"c": (1,)}, "no further weight, found 'c'"),
    ],
)
def test_the_weight_that_does_not_fit_is_named(
    tmp_path: Path, change: dict[str, tuple[int, ...] | None], message: str
) -> None:
    shapes = {"a": (2,), "b": (3,)} | change
    save_file({n: torch.zeros(s) for n, s in shapes.items() if s}, tmp_path / "w.safetensors")
    with pytest.raises(FewstepError, match=message):
        require(WeightFiles.open(tmp_path), {"a": (2,), "b": (3,)}, "the weights")


def test_a_pickle_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    for path in (tmp_path, tmp_path / "diffusion_pytorch_model.bin"):
        with pytest.raises(FewstepError, match=r"found a pickle, at .*diffusion_pytorch_model\.bin"):
            WeightFiles.open(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(100)}, tmp_path / "w.safetensors")
    content = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(content[:-50])
    with pytest.raises(FewstepError, match="found a damaged one"):
        WeightFiles.open(tmp_path)


def test_a_folder_without_weights_and_one_with_two_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match="found none"):
        WeightFiles.open(tmp_path)
    for name in ("a", "b"):
        save_file({name: torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(FewstepError, match=r"found a\.safetensors, b\.safetensors"):
        WeightFiles.open(tmp_path)

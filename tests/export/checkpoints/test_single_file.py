"""A checkpoint in one file and the original's names, with the configurations beside it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from fewstep.errors import FewstepError
from fewstep_export.checkpoints import load_generator
from fewstep_export.checkpoints.folder import Folder
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig
from fewstep_export.fixed_inputs import prompts_of
from fewstep_export.picture_loop import PictureTask, draw_torch


@pytest.fixture(scope="module")
def configurations(checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder without its weights."""
    target = tmp_path_factory.mktemp("configurations") / "sd1"
    return Path(shutil.copytree(checkpoint("sd1"), target, ignore=shutil.ignore_patterns("*.safetensors")))


@pytest.fixture(scope="module")
def file(
    checkpoint: Callable[[str], Path], original_names: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """All weights in one file."""
    path = tmp_path_factory.mktemp("single") / "dream.safetensors"
    original_names.save_original(Folder.open(checkpoint("sd1")).pipeline(), path)
    return path


def load(source: Path, configurations: Path | None = None) -> Generator:
    return load_generator(ExportConfig(str(source), Path("unused.fewstep"), configurations=configurations))


def test_it_draws_what_its_folder_draws(
    file: Path, configurations: Path, checkpoint: Callable[[str], Path]
) -> None:
    single, whole = load(file, configurations), load(checkpoint("sd1"))
    assert (single.name, whole.name) == ("dream", "checkpoint")
    task = PictureTask(prompts_of(whole), whole.sampling.table(2), 3.0)
    np.testing.assert_array_equal(draw_torch(single, task), draw_torch(whole, task))
    assert single.reference is not None


def test_without_configurations_it_is_said_what_to_give(file: Path) -> None:
    with pytest.raises(
        FewstepError, match=r"expected --config .* for dream\.safetensors; .*model_index\.json"
    ):
        load(file)


def test_a_pickle_file_is_refused(tmp_path: Path, configurations: Path) -> None:
    (tmp_path / "dream.ckpt").write_bytes(b"\x80\x04.")
    with pytest.raises(FewstepError, match=r"found the pickle file dream\.ckpt"):
        load(tmp_path / "dream.ckpt", configurations)


def test_a_missing_weight_is_named(file: Path, configurations: Path, tmp_path: Path) -> None:
    weights = load_file(file)
    del weights["model.diffusion_model.middle_block.0.out_layers.3.weight"]
    save_file(weights, tmp_path / "dream.safetensors")
    with pytest.raises(
        FewstepError, match=r"the weight 'mid_block\.resnets\.0\.conv2\.weight', found no such"
    ):
        load(tmp_path / "dream.safetensors", configurations)


def test_options_of_pipelines_are_for_pipelines(tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match="for diffusers pipelines alone"):
        load(tmp_path / "emoji-128", tmp_path)


def test_a_weight_of_another_shape_and_a_damaged_file_are_named(
    file: Path, configurations: Path, tmp_path: Path
) -> None:
    weights, name = load_file(file), "model.diffusion_model.middle_block.0.out_layers.3.weight"
    save_file({**weights, name: weights[name][:5].contiguous()}, tmp_path / "dream.safetensors")
    with pytest.raises(FewstepError, match=r"mid_block\.resnets\.0\.conv2\.weight.*in .*dream\.safetensors"):
        load(tmp_path / "dream.safetensors", configurations)
    (tmp_path / "half.safetensors").write_bytes(file.read_bytes()[:-100])
    with pytest.raises(FewstepError, match=r"expected a safetensors file, .*half\.safetensors"):
        load(tmp_path / "half.safetensors", configurations)

"""The reader of a built data set, on the committed slice."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.data.styles import WORDS

from .conftest import SLICE


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the slice, to damage."""
    return Path(shutil.copytree(SLICE, tmp_path / "slice"))


def test_rows_and_splits() -> None:
    dataset = EmojiDataset(SLICE, verify=True)
    assert len(dataset) == len(dataset.rows) == 71
    splits = [dataset.split(name) for name in ("train", "zero", "compose")]
    assert [len(split) for split in splits] == [60, 8, 3]
    assert sorted(index for split in splits for index in split) == list(range(71))
    assert {row.style for row in dataset.rows} == set(WORDS)
    seen = {row.family for row in dataset.rows if row.split == "train"}
    for row in dataset.rows:
        assert (row.family in seen) == (row.split != "zero")


def test_pictures_are_rgba_with_nothing_hidden_under_alpha_0() -> None:
    dataset = EmojiDataset(SLICE)
    pictures = dataset.images(range(len(dataset)))
    assert pictures.shape == (71, 128, 128, 4) and pictures.dtype == np.uint8
    assert not pictures[pictures[..., 3] == 0].any()
    assert ((pictures[..., 3] > 127).mean((1, 2)) > 0.1).all()
    np.testing.assert_array_equal(dataset.image(5), pictures[5])
    np.testing.assert_array_equal(dataset.images([7, 5]), pictures[[7, 5]])


def test_the_red_of_a_broken_heart_is_in_its_picture() -> None:
    dataset = EmojiDataset(SLICE)
    index = next(
        i for i, row in enumerate(dataset.rows) if row.name == "broken heart" and row.style == "fluent-flat"
    )
    picture = dataset.image(index).astype(int)
    drawn = picture[picture[..., 3] > 127]
    assert (drawn[:, 0] > drawn[:, 1] + 50).mean() > 0.8


def test_a_folder_without_a_data_set_says_how_to_build_one(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(
            FewstepError, match=rf"dataset\.json is missing; run `fewstep data build emoji -o {folder}`"
        ):
            EmojiDataset(folder)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("dataset.json", "{", "JSONDecodeError"),
        (
            "dataset.json",
            '{"format": "fewstep-dataset", "version": 2}',
            "expected format fewstep-dataset version 1, found .* 2",
        ),
        ("index.jsonl", '{"offset": 0}\n', "KeyError: 'keywords'"),
        ("index.jsonl", '{"keywords": "a", "offset": 0}\n', "keywords is not a list"),
        ("index.jsonl", '{"keywords": [], "colour": 0}\n', "TypeError: .*colour"),
    ],
)
def test_a_damaged_description_is_refused(copy: Path, file: str, content: str, reason: str) -> None:
    (copy / file).write_text(content)
    with pytest.raises(FewstepError, match=rf"the data set in {copy} is damaged \(.*{reason}.*--overwrite"):
        EmojiDataset(copy)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("images.bin", b"RIFF", b"RIFX"), ("index.jsonl", b"hibiscus", b"hibiscos")],
    ids=["images", "index"],
)
def test_a_changed_file_is_found_on_demand(copy: Path, file: str, old: bytes, new: bytes) -> None:
    (copy / file).write_bytes((copy / file).read_bytes().replace(old, new, 1))
    EmojiDataset(copy)
    with pytest.raises(FewstepError, match=rf"damaged \(expected sha256 \w+ for {file}, found \w+"):
        EmojiDataset(copy, verify=True)


def test_a_missing_file_is_found_on_demand(copy: Path) -> None:
    (copy / "images.bin").unlink()
    with pytest.raises(FewstepError, match=r"expected sha256 \w+ for images\.bin, found no file"):
        EmojiDataset(copy, verify=True)


def test_pictures_that_cannot_be_read_are_refused(copy: Path) -> None:
    data = (copy / "images.bin").read_bytes()
    (copy / "images.bin").write_bytes(data[: len(data) // 2])
    dataset = EmojiDataset(copy)
    assert dataset.image(0).any()
    with pytest.raises(FewstepError, match=r"is damaged \(images\.bin: cannot identify image file"):
        dataset.image(70)


def test_training_reads_a_data_set_without_what_builds_one() -> None:
    code = """
import sys
import fewstep_distillation.data.dataset, fewstep_distillation.data.captions, fewstep_distillation.data.recolour
print(sorted({name.split(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(result.stdout.replace("'", '"')))
    assert not loaded & {"torch", "typer", "resvg_py", "rich", "onnx", "onnxruntime"}
    assert loaded >= {"numpy", "PIL"}

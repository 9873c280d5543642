"""The engine as far as it goes without a Mac, and on one the refusals of what it is given."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fewstep.engines.coreml import CoreMLEngine, as_declared, compiled, digest, split_rows
from fewstep.errors import FewstepError
from fewstep.manifest import Component, TensorSpec

SPEC = TensorSpec("x", "float32", ("batch", 2))
COMPONENT = Component("coreml/fp16/decoder.mlpackage", (SPEC,), (SPEC,))


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has Core ML")
def test_another_system_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        FewstepError, match=r"expected macOS for the engine coreml, found \w+; choose another"
    ):
        CoreMLEngine(tmp_path / "decoder.mlpackage", COMPONENT)
    with pytest.raises(FewstepError, match="expected macOS"):
        compiled(tmp_path / "decoder.mlpackage", tmp_path / "cache", "0" * 64)
    assert not (tmp_path / "cache").exists()


def test_a_program_that_is_compiled_already_is_taken_from_the_cache(tmp_path: Path) -> None:
    target = tmp_path / f"decoder-{'a' * 16}.mlmodelc"
    target.mkdir()
    assert compiled(Path("decoder.mlpackage"), tmp_path, "a" * 64) == target


def test_the_digest_is_of_the_contents_and_not_of_random_identifiers(tmp_path: Path) -> None:
    found = []
    for i, weights in enumerate((b"1", b"1", b"2")):
        folder = tmp_path / str(i)
        folder.mkdir()
        (folder / "Manifest.json").write_text(str(i))
        (folder / "weight.bin").write_bytes(weights)
        found.append(digest(folder))
    assert found[0] == found[1] != found[2]


def test_unknown_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        FewstepError, match="expected units ALL, CPU_AND_NE, CPU_AND_GPU, CPU_ONLY, found NPU"
    ):
        CoreMLEngine(tmp_path, COMPONENT, units="NPU")  # type: ignore[arg-type]


def test_rows_of_a_batch() -> None:
    feeds = {"x": np.arange(6.0).reshape(3, 2), "t": np.arange(3.0)}
    rows = split_rows(feeds)
    assert [row["t"].tolist() for row in rows] == [[0.0], [1.0], [2.0]]
    np.testing.assert_array_equal(np.concatenate([row["x"] for row in rows]), feeds["x"])


def test_inputs_of_a_package_with_float16_are_rounded_and_others_left() -> None:
    feeds = {"latents": np.array([[0.1]], np.float32), "timestep": np.array([999.0], np.float32)}
    specs = (TensorSpec("latents", "float16", (1, 1)), TensorSpec("timestep", "float32", (1,)))
    given = as_declared(feeds, specs)
    assert given["latents"].dtype == np.float16 and given["latents"][0, 0] == np.float16(0.1)
    assert given["timestep"] is feeds["timestep"]

"""Peaks measured inside a graph are those of its tensors."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.export.large.conftest import Folder, Written

from fewstep.errors import FewstepError
from fewstep_export.activation_range import require_fp16_range as reference
from fewstep_export.large import peaks
from fewstep_export.large.child import Finished, in_child
from fewstep_export.large.verify import Feeds
from fewstep_export.targets.ort import to_fp16


def test_the_same_peak_as_from_all_tensors(written: Written, feeds: Feeds, tmp_path: Path) -> None:
    whole = onnx.load(str(written.path))
    half = to_fp16(whole)
    expected = reference(whole, half, [feeds], "denoiser")
    found = peaks.require_fp16_range(written.path, half, [feeds], tmp_path)
    assert (found.tensor, found.node) == (expected.tensor, expected.node)
    assert found.value == pytest.approx(expected.value, rel=1e-5)
    assert list(tmp_path.iterdir()) == []


def test_what_overflows_is_named(source: Folder, written: Written, feeds: Feeds, tmp_path: Path) -> None:
    half = to_fp16(onnx.load(str(written.path)))
    large = {**feeds, "latents": np.full((1, 4, 8, 8), 1e6, dtype=np.float32)}
    with pytest.raises(
        FewstepError, match=r"expected activations of at most 16376 for FP16, found .* of denoiser"
    ):
        peaks.require_fp16_range(written.path, half, [large], tmp_path)


def test_scores_that_a_mask_took_out_do_not_count(tmp_path: Path) -> None:
    graph, half = _chain(tmp_path, length=8, count=2)
    masked = {"x": np.array([[1.0, -3.0, -np.inf, 2.0, 0.5, -1e31, 0.0, 1.5]], dtype=np.float32)}
    assert peaks.require_fp16_range(graph, half, [masked], tmp_path).value == pytest.approx(3 * 0.9)


def test_measured_tensors_are_not_kept(tmp_path: Path) -> None:
    """Sixty tensors of 40 MB each: all of them together would be 2.4 GB.

    Against the same with two of them: what the libraries take is the kernel's affair, and differs by half a gigabyte between machines.
    """
    many, few = (_measured(tmp_path / str(count), 10_000_000, count) for count in (60, 2))
    assert many.value.value == few.value.value == pytest.approx(0.9)
    assert many.peak_bytes - few.peak_bytes < 1.2e9


def _measured(folder: Path, length: int, count: int) -> Finished:
    folder.mkdir()
    graph, half = _chain(folder, length, count)
    feeds = {"x": np.ones((1, length), dtype=np.float32)}
    return in_child("measuring", peaks.require_fp16_range, graph, half, [feeds], folder)


def _chain(folder: Path, length: int, count: int) -> tuple[Path, onnx.ModelProto]:
    """A graph on disk that multiplies by 0.9 so many times, and its FP16 form."""
    names = ["x", *(f"x{i}" for i in range(1, count + 1))]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", length]) for name in names]
    nodes = [helper.make_node("Mul", [a, "factor"], [b], name=f"to {b}") for a, b in pairwise(names)]
    factor = helper.make_tensor("factor", TensorProto.FLOAT, (), [0.9])
    graph = helper.make_graph(nodes, "chain", [values[0]], [values[-1]], [factor], value_info=values[1:-1])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = folder / "denoiser.onnx"
    onnx.save(model, str(path))
    return path, to_fp16(model)

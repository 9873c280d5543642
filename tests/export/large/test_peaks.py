"""Peaks measured inside a graph are those of its tensors."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.export.large.conftest import Folder, Written

from fewstep.errors import FewstepError
from fewstep_export.activation_range import require_fp16_range as reference
from fewstep_export.large import peaks
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

"""Runs at many sizes: each takes the profile that is best at it, and the memory of the largest; see host_memory_cuda."""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.engines.host_memory_cuda import HostMemoryContext, HostMemoryCuda, library_of

from fewstep.engines.tensorrt import TensorRTEngine
from fewstep.engines.tensorrt_buffers import Extent, shape_at
from fewstep.errors import BundleError, FewstepError
from fewstep.manifest import Component, TensorSpec
from fewstep.variant import EngineBuild

COMPONENT = Component(
    "tensorrt/fp16/decoder.engine",
    (
        TensorSpec("latents", "float32", ("batch", 2, "height", "width")),
        TensorSpec("told", "float32", ("batch",)),
    ),
    (TensorSpec("image", "float32", ("batch", 2, "2*height", "2*width")),),
)
BUILD = EngineBuild("tensorrt_rtx", "1.7.1", (), 2, (), "0" * 64, 1.0)
PROFILES = (
    ((1, 2, 2, 2), (2, 2, 4, 4), (2, 2, 6, 8)),
    ((1, 2, 4, 3), (2, 2, 4, 3), (2, 2, 4, 3)),
)


def decode(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every position twice along both sides, and what is told."""
    image = feeds["latents"].repeat(2, 2).repeat(2, 3) + feeds["told"][:, None, None, None]
    return {"image": image.astype(np.float32)}


@pytest.fixture
def cuda() -> HostMemoryCuda:
    return HostMemoryCuda()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: HostMemoryCuda) -> TensorRTEngine:
    context = HostMemoryContext(cuda, COMPONENT, decode)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", library_of(context, COMPONENT, PROFILES))
    (tmp_path / "x.engine").write_bytes(b"engine")
    return TensorRTEngine(tmp_path / "x.engine", COMPONENT, BUILD, cuda)  # type: ignore[arg-type]


def feeds(batch: int, height: int, width: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(100 * height + width)
    shapes = {"latents": (batch, 2, height, width), "told": (batch,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def test_every_size_is_right_whatever_was_run_before(engine: TensorRTEngine) -> None:
    assert engine.buffers.host["image"].shape == (2, 2, 12, 16)
    for _ in range(3):
        for extent in ((1, 2, 2), (2, 6, 8), (1, 4, 3), (2, 4, 4), (1, 4, 4), (1, 2, 7)):
            given = feeds(*extent)
            for _ in range(3):  # plain, recorded, launched
                assert np.array_equal(engine.run(given)["image"], decode(given)["image"])


def test_another_profile_is_taken_once_and_what_was_recorded_is_given_back(
    engine: TensorRTEngine, cuda: HostMemoryCuda
) -> None:
    for _ in range(2):
        engine.run(feeds(1, 4, 4))
        engine.run(feeds(1, 2, 2))
    assert not [
        call for call in cuda.calls if call.startswith("profile")
    ]  # the first one is there from the beginning
    cuda.calls.clear()
    engine.run(feeds(1, 4, 3))  # both profiles take it; the second is made for it
    assert cuda.calls[:3] == ["profile 1", "free", "free"]
    for expected in ("end capture", "launch"):
        cuda.calls.clear()
        engine.run(feeds(1, 4, 3))
        assert expected in cuda.calls and "profile 1" not in cuda.calls
    cuda.calls.clear()
    engine.run(feeds(1, 4, 4))
    assert cuda.calls[:2] == ["profile 0", "free"] and "launch" not in cuda.calls


def test_a_size_that_no_profile_takes_is_told_before_anything_is_queued(
    engine: TensorRTEngine, cuda: HostMemoryCuda
) -> None:
    for height, width in ((8, 8), (2, 9), (1, 2)):
        with pytest.raises(
            FewstepError,
            match=rf"height and width \(2, 2\) to \(6, 8\) or \(4, 3\) to \(4, 3\), found \({height}, {width}\)",
        ):
            engine.run(feeds(1, height, width))
    with pytest.raises(FewstepError, match="expected a batch of at most 2, found 3"):
        engine.run(feeds(3, 4, 4))
    with pytest.raises(FewstepError, match="expected the tensor"):
        engine.run({"told": np.ones(1, np.float32), "x": np.ones(1, np.float32)})
    assert not cuda.calls


def test_free_dimensions_have_names_that_are_known() -> None:
    spec = TensorSpec("image", "float32", ("batch", 3, "8*height", "width"))
    assert shape_at(spec, Extent(2, 3, 5)) == (2, 3, 24, 5)
    for dim in ("length", "x*height", "height*8"):
        with pytest.raises(BundleError, match="expected no free dimension but the batch, height and width"):
            shape_at(TensorSpec("x", "float32", ("batch", dim)), Extent(1))

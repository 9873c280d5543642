"""The bundle of the export's tiny generator, and its graphs."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.export.conftest import bundle, tiny  # noqa: F401 - fixtures

from fewstep.bundle import Bundle
from fewstep.network import Feeds
from fewstep_quantization.graph import load
from fewstep_quantization.pictures import Graphs


@pytest.fixture(scope="session")
def fp32(bundle: Path) -> Graphs:  # noqa: F811 - the fixture
    """The FP32 graphs of the bundle by component."""
    opened = Bundle.open(bundle)
    components = opened.manifest.variant("fp32").components
    return {name: load(opened.file(component.file)) for name, component in components.items()}


@pytest.fixture
def own_bundle(bundle: Path, tmp_path: Path) -> Path:  # noqa: F811 - the fixture
    """A copy of the bundle that a test may change."""
    return Path(shutil.copytree(bundle, tmp_path / "own.fewstep"))


def random_feeds(model: onnx.ModelProto, batch: int = 2) -> Feeds:
    """Unit normal inputs of a graph, masks of ones, token 4."""
    generator = np.random.default_rng(0)
    feeds: dict[str, np.ndarray] = {}
    for value in model.graph.input:
        shape = [dim.dim_value or batch for dim in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.elem_type == onnx.TensorProto.INT32:
            feeds[value.name] = np.full(shape, 4, dtype=np.int32)
        elif "mask" in value.name:
            feeds[value.name] = np.ones(shape, dtype=np.float32)
        else:
            feeds[value.name] = generator.standard_normal(shape).astype(np.float32)
    return feeds

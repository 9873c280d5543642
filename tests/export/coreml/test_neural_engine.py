"""The layout for the Neural Engine: on or off, a package computes the same; what it is made of."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from fewstep.network import Feeds
from fewstep_export.components import Component
from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.package import Package, read_package
from fewstep_export.coreml.verify import verify_package
from fewstep_export.onnx_export import Graphs, export_component
from fewstep_export.targets.ort import to_fp16
from fewstep_models.dit import DiTConfig

from .conftest import COMPONENTS


def _shapes(package: Package, operator: str) -> list[tuple[int, ...]]:
    """Of the outputs of an operator."""
    found = [operation for operation in package.operations if operation.operator == operator]
    return [kind.shape for operation in found for kind in operation.outputs.values()]


@pytest.mark.parametrize(
    "name", ["text_encoder", *(pytest.param(name, marks=pytest.mark.slow) for name in COMPONENTS[1:])]
)
def test_on_or_off_a_package_computes_the_same(
    name: str, graphs: Graphs, packages: dict[str, Path], inputs: dict[str, list[Feeds]], tmp_path: Path
) -> None:
    path = tmp_path / "on.mlpackage"
    convert(graphs[name].model, path, ConvertConfig(neural_engine=True))
    verify_package(path, graphs[name].model, inputs[name])
    for output, off in Evaluator(packages[name])(inputs[name][0]).items():
        on = Evaluator(path)(inputs[name][0])[output]
        assert np.abs(on - off).max() <= 1e-6 * np.abs(off).max()


def test_a_transformer_has_maps_and_single_heads(
    graphs: Graphs, packages: dict[str, Path], inputs: dict[str, list[Feeds]], tmp_path: Path
) -> None:
    path, graph = tmp_path / "half.mlpackage", graphs["text_encoder"].model
    convert(to_fp16(graph), path, ConvertConfig("iOS18", neural_engine=True))
    verify_package(path, graph, inputs["text_encoder"], "fp16")
    plain, package = read_package(packages["text_encoder"]), read_package(path)
    assert len(_shapes(plain, "linear")) == len(_shapes(package, "conv")) > 0
    assert not _shapes(package, "linear")
    assert all(shape[1] == 1 for shape in _shapes(package, "matmul") + _shapes(package, "softmax"))
    assert any(shape[1] > 1 for shape in _shapes(plain, "matmul"))
    kinds = Counter(operation.operator for operation in package.operations)
    assert kinds["transpose"] <= 3 * kinds["conv"]


@pytest.mark.slow
def test_a_transformer_of_patches(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = DiTConfig(width=32, depth=1, head_channels=16, text_dim=12, size=4)
    module = config.build().eval().requires_grad_(False)
    for weight in module.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    rng = np.random.default_rng(0)
    feeds = {
        "latents": rng.standard_normal((2, config.latent_channels, 4, 4)).astype(np.float32),
        "timestep": np.array([10.0, 900.0], np.float32),
        "text_states": rng.standard_normal((2, 5, 12)).astype(np.float32),
        "text_mask": np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]], np.float32),
    }
    graph = export_component(Component("denoiser", module, tuple(feeds), ("velocity",)), feeds).model
    convert(graph, tmp_path / "on.mlpackage", ConvertConfig(neural_engine=True))
    rows = [{name: value[i : i + 1] for name, value in feeds.items()} for i in range(2)]
    verify_package(tmp_path / "on.mlpackage", graph, rows)

"""The tiny bundle of the runtime's tests, and a bundle whose second build gives NaN from a timestep on."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.scripts import load_script

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def runtime_tests() -> ModuleType:
    """tests/runtime/conftest.py, which makes the tiny bundle."""
    return load_script(ROOT / "tests/runtime/conftest.py")


@pytest.fixture(scope="session")
def tiny_bundle(runtime_tests: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle folder with one ONNX build, for tests that only read it."""
    root = tmp_path_factory.mktemp("bundles") / "tiny.fewstep"
    for name, model in runtime_tests.tiny_graphs().items():
        (root / "ort/fp32").mkdir(parents=True, exist_ok=True)
        onnx.save(model, root / f"ort/fp32/{name}.onnx")
    runtime_tests.save_tokenizer(root / "tokenizer.json")

    def one_variant(manifest: Any) -> None:
        manifest["variants"] = manifest["variants"][:1]

    runtime_tests.sign(root, one_variant)
    return root


def nan_below(model: onnx.ModelProto, timestep: float) -> onnx.ModelProto:
    """The denoiser with NaN in its output at timesteps below that: log(t - timestep) times 0 is added."""
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(value, np.float32), name)
            for name, value in (("at", timestep), ("zero_", 0.0))
        ]
    )
    shape = numpy_helper.from_array(np.array([-1, 1, 1, 1]), "column")
    model.graph.initializer.append(shape)
    last = next(node for node in model.graph.node if "velocity" in node.output)
    last.output[list(last.output).index("velocity")] = "before"
    for operator, inputs, output in (
        ("Sub", ["timestep", "at"], "over"), ("Log", ["over"], "log"), ("Mul", ["log", "zero_"], "nothing"),
        ("Reshape", ["nothing", "column"], "nan"), ("Add", ["before", "nan"], "velocity"),
    ):  # fmt: skip
        model.graph.node.append(helper.make_node(operator, inputs, [output]))
    return model


@pytest.fixture
def broken_bundle(tiny_bundle: Path, runtime_tests: ModuleType, tmp_path: Path) -> Path:
    """With a build "half", called FP16, whose denoiser gives NaN below timestep 800, and the good one."""
    root = Path(shutil.copytree(tiny_bundle, tmp_path / "broken.fewstep"))
    shutil.copytree(root / "ort/fp32", root / "ort/half")
    onnx.save(nan_below(onnx.load(root / "ort/half/denoiser.onnx"), 800.0), root / "ort/half/denoiser.onnx")

    def add(manifest: Any) -> None:
        half = runtime_tests.variant("half", "onnx")
        manifest["variants"].append(half | {"precision": "fp16"})

    runtime_tests.sign(root, add)
    return root


Change = Callable[[Any], None]

"""A tiny real bundle: three ONNX graphs with the interfaces of docs/architecture.md and random weights, and a tokenizer."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import ModelProto, TensorProto, helper, numpy_helper, save
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from fewstep.samplers import compile_table

CHANNELS, SIDE, LENGTH, WIDTH = 4, 8, 8, 6
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "red",
    "blue",
    "heart",
    "star",
    "noto",
    "flat",
    "style",
    ",",
]

Value = tuple[str, int, list[int | str]]
IDS: Value = ("input_ids", TensorProto.INT32, ["batch", LENGTH])
MASK: Value = ("text_mask", TensorProto.FLOAT, ["batch", LENGTH])
STATES: Value = ("text_states", TensorProto.FLOAT, ["batch", LENGTH, WIDTH])
LATENTS: Value = ("latents", TensorProto.FLOAT, ["batch", CHANNELS, SIDE, SIDE])
TIMESTEP: Value = ("timestep", TensorProto.FLOAT, ["batch"])
VELOCITY: Value = ("velocity", TensorProto.FLOAT, ["batch", CHANNELS, SIDE, SIDE])
IMAGE: Value = ("image", TensorProto.FLOAT, ["batch", 4, 2 * SIDE, 2 * SIDE])
INTERFACES = {
    "text_encoder": ([IDS, MASK], STATES),
    "denoiser": ([LATENTS, TIMESTEP, STATES, MASK], VELOCITY),
    "decoder": ([LATENTS], IMAGE),
}
DTYPES: dict[int, str] = {TensorProto.INT32: "int32", TensorProto.FLOAT: "float32"}


def graph(
    name: str, nodes: list[tuple[str, list[str], list[str], dict[str, Any]]], weights: Mapping[str, object]
) -> ModelProto:
    """An ONNX model of a component from (operator, inputs, outputs, attributes) and named constants."""
    inputs, output = INTERFACES[name]
    made = helper.make_graph(
        [helper.make_node(op, i, o, **attributes) for op, i, o, attributes in nodes],
        name,
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*output)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def tiny_graphs() -> dict[str, ModelProto]:
    """Graphs that use every one of their inputs, so that a wrong feed changes the picture."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32) * 0.5

    text_encoder = graph(
        "text_encoder",
        [
            ("Gather", ["table", "input_ids"], ["embedded"], {}),
            ("Unsqueeze", ["text_mask", "last"], ["mask3"], {}),
            ("Mul", ["embedded", "mask3"], ["text_states"], {}),
        ],
        {"table": normal(len(WORDS), WIDTH), "last": np.array([2])},
    )
    denoiser = graph(
        "denoiser",
        [
            ("Unsqueeze", ["text_mask", "last"], ["mask3"], {}),
            ("Mul", ["text_states", "mask3"], ["kept"], {}),
            ("ReduceSum", ["kept", "one"], ["pooled"], {"keepdims": 0}),
            ("MatMul", ["pooled", "project"], ["text"], {}),
            ("Unsqueeze", ["text", "plane"], ["text4"], {}),
            ("Mul", ["timestep", "thousandth"], ["sigma"], {}),
            ("Unsqueeze", ["sigma", "volume"], ["sigma4"], {}),
            ("Conv", ["latents", "kernel"], ["mixed"], {"pads": [1, 1, 1, 1]}),
            ("Mul", ["mixed", "sigma4"], ["scaled"], {}),
            ("Add", ["scaled", "text4"], ["sum"], {}),
            ("Tanh", ["sum"], ["velocity"], {}),
        ],
        {
            "project": normal(WIDTH, CHANNELS),
            "kernel": normal(CHANNELS, CHANNELS, 3, 3),
            "thousandth": np.float32(1e-3),
            "last": np.array([2]),
            "one": np.array([1]),
            "plane": np.array([2, 3]),
            "volume": np.array([1, 2, 3]),
        },
    )
    decoder = graph(
        "decoder",
        [
            ("Conv", ["latents", "kernel"], ["features"], {}),
            ("DepthToSpace", ["features"], ["pixels"], {"blocksize": 2}),
            ("Sigmoid", ["pixels"], ["straight"], {}),
            ("Split", ["straight"], ["colour", "alpha"], {"axis": 1, "num_outputs": 2}),
            ("Slice", ["alpha", "zero", "one", "one"], ["a"], {}),
            ("Concat", ["colour", "alpha"], ["rgbx"], {"axis": 1}),
            ("Slice", ["rgbx", "zero", "three", "one"], ["rgb"], {}),
            ("Mul", ["rgb", "a"], ["premultiplied"], {}),
            ("Concat", ["premultiplied", "a"], ["image"], {"axis": 1}),
        ],
        {
            "kernel": normal(16, CHANNELS, 1, 1),
            "zero": np.array([0]),
            "one": np.array([1]),
            "three": np.array([3]),
        },
    )
    return {"text_encoder": text_encoder, "denoiser": denoiser, "decoder": decoder}


def save_tokenizer(path: Path) -> None:
    """A WordPiece tokenizer that adds [CLS] and [SEP]."""
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(
        5
    )  # as published tokenizers have it; the runtime must not cut a prompt silently
    tokenizer.save(str(path))


def specs(values: list[Value]) -> list[dict[str, object]]:
    """Tensor specifications of the manifest."""
    return [{"name": name, "dtype": DTYPES[dtype], "shape": shape} for name, dtype, shape in values]


def variant(name: str, suffix: str) -> dict[str, object]:
    """A variant of the manifest whose files lie in ort/NAME."""
    components = {
        component: {
            "file": f"ort/{name}/{component}.{suffix}",
            "inputs": specs(inputs),
            "outputs": specs([output]),
        }
        for component, (inputs, output) in INTERFACES.items()
    }
    check = {"denoiser": {"max_abs_error": 1e-6, "output_scale": 1.0, "tolerance": 1e-4}}
    return {
        "name": name, "engine": "onnxruntime", "precision": "fp32", "format": suffix,
        "components": components, "verification": check,
    }  # fmt: skip


def tiny_manifest() -> dict[str, object]:
    """The manifest as JSON, without `files`."""
    tables = [compile_table(sampler, 4, 3.0) for sampler in ("flow-dpm++2m", "flow-euler")]
    return {
        "format": "fewstep-bundle", "schema_version": 1, "name": "tiny",
        "variants": [variant("fp32", "onnx"), variant("fp32-ort", "ort")], "default_variant": "fp32",
        "files": {},
        "step_tables": {table.name: table.to_dict() for table in tables}, "default_step_table": "flow-dpm++2m-4",
        "sampling": {"prediction": "flow", "shift": 3.0, "sampler": "flow-dpm++2m", "steps": 4},
        "guidance": {"scale": 3.0, "negative_prompt": ""},
        "latent": {"shape": [CHANNELS, SIDE, SIDE], "scale": [0.5, 1, 2, 1.5], "shift": [0, 0.1, 0.2, -0.1]},
        "image": {"size": 2 * SIDE, "channels": "RGBA", "alpha": "premultiplied"},
        "tokenizers": [{"file": "tokenizer.json", "max_length": LENGTH}],
        "prompts": {"styles": ["noto", "flat"], "examples": ["a red heart", "a blue star"]},
        "licences": [{"what": "weights", "licence": "Apache-2.0", "credit": "the fewstep tests"}],
        "provenance": {"checkpoint_sha256": "0" * 64, "versions": {"onnx": "1"}, "command": "pytest", "options": {}},
    }  # fmt: skip


def sign(root: Path, change: Callable[[dict[str, object]], object] = lambda manifest: None) -> None:
    """Writes the manifest of the folder anew with the files' present sizes and hashes, after `change`."""
    path = root / "manifest.json"
    manifest = json.loads(path.read_text()) if path.exists() else tiny_manifest()
    files = sorted(p for p in root.rglob("*") if p.is_file() and p != path)
    manifest["files"] = {
        p.relative_to(root).as_posix(): {
            "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
            "bytes": p.stat().st_size,
        }
        for p in files
    }
    change(manifest)
    path.write_text(json.dumps(manifest))


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle folder, for tests that only read it."""
    root = tmp_path_factory.mktemp("bundles") / "tiny.fewstep"
    for name, model in tiny_graphs().items():
        onnx_file, ort_file = root / f"ort/fp32/{name}.onnx", root / f"ort/fp32-ort/{name}.ort"
        onnx_file.parent.mkdir(parents=True, exist_ok=True)
        ort_file.parent.mkdir(parents=True, exist_ok=True)
        save(model, onnx_file)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(ort_file)
        options.add_session_config_entry("session.save_model_format", "ORT")
        onnxruntime.InferenceSession(str(onnx_file), options, providers=["CPUExecutionProvider"])
    save_tokenizer(root / "tokenizer.json")
    (root / "LICENCES.md").write_text("Apache-2.0\n")
    sign(root)
    return root


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may break."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy.fewstep"))


@pytest.fixture
def resign() -> Callable[..., None]:
    """`sign`: makes the manifest agree with the files again, and may change other fields."""
    return sign


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fewstep_command() -> Command:
    """Runs `fewstep ARGUMENTS` in a process of its own; keyword arguments go to subprocess.run."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [sys.executable, "-m", "fewstep", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            **options,
        )

    return run


@pytest.fixture
def sign_bundle() -> Callable[[Path], str]:
    """Signs a bundle as minisign does, with a new key; returns the public one."""

    def write(root: Path) -> str:
        secret, key_id = Ed25519PrivateKey.generate(), os.urandom(8)
        content, comment = (root / "manifest.json").read_bytes(), "by the tests"
        own = secret.sign(hashlib.blake2b(content).digest())
        lines = [
            "untrusted comment: x",
            base64.b64encode(b"ED" + key_id + own).decode(),
            f"trusted comment: {comment}",
            base64.b64encode(secret.sign(own + comment.encode())).decode(),
        ]
        (root / "manifest.json.minisig").write_text("\n".join(lines) + "\n")
        return base64.b64encode(b"Ed" + key_id + secret.public_key().public_bytes_raw()).decode()

    return write

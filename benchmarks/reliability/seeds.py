"""Real inputs of every reader, made anew at each start: the tiny bundle of the tests, and what lies in it."""

import importlib.util
import io
import json
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from fewstep.samplers import compile_table

ROOT = Path(__file__).parents[2]


@cache
def tiny_bundle() -> dict[str, bytes]:
    """The files of the bundle of tests/runtime/conftest.py with ONNX graphs alone."""
    spec = importlib.util.spec_from_file_location("runtime_conftest", ROOT / "tests/runtime/conftest.py")
    assert spec is not None and spec.loader is not None
    tests = importlib.util.module_from_spec(spec)
    sys.modules["runtime_conftest"] = tests
    spec.loader.exec_module(tests)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for name, model in tests.tiny_graphs().items():
            (root / "ort/fp32").mkdir(parents=True, exist_ok=True)
            (root / f"ort/fp32/{name}.onnx").write_bytes(model.SerializeToString())
        tests.save_tokenizer(root / "tokenizer.json")

        def onnx_alone(manifest: dict[str, object]) -> None:
            variants = manifest["variants"]
            assert isinstance(variants, list)
            manifest["variants"] = variants[:1]

        tests.sign(root, onnx_alone)
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def _zip(files: dict[str, bytes], method: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return made.getvalue()


def seeds_of(name: str) -> list[bytes]:
    """The seeds of a target of `fuzz_targets`."""
    files = tiny_bundle()
    manifest = json.loads(files["manifest.json"])
    draft = json.loads((ROOT / "tests/data/manifest_draft.json").read_text())["manifest"]
    small = compile_table("flow-dpm++2m", 2, 3.0)  # few rows: there is more to change than numbers in tables
    manifest |= {"step_tables": {small.name: small.to_dict()}, "default_step_table": small.name}
    if name in ("manifest", "bundle"):
        scheduler = {**manifest, "sampling": {"prediction": "epsilon", "sampler": "DDIMScheduler", "steps": 4,
                     "scheduler": {"_class_name": "DDIMScheduler", "num_train_timesteps": 1000}}}  # fmt: skip
        return [json.dumps(value).encode() for value in (manifest, draft, scheduler)]
    if name == "step_table":
        samplers = ("flow-dpm++2m", "flow-dpm++3s", "flow-sde-dpm++2m")
        return [json.dumps(compile_table(sampler, 3, 3.0).to_dict()).encode() for sampler in samplers]
    if name == "tokenizer":
        return [files["tokenizer.json"]]
    if name == "archive":
        return [_zip(files, zipfile.ZIP_STORED), _zip(files, zipfile.ZIP_DEFLATED)]
    if name == "onnx":
        return [data for path, data in files.items() if path.endswith(".onnx")]
    made = json.loads((ROOT / "tests/data/minisign.json").read_text())
    return [made["signature"].encode(), made["old_signature"].encode()]

"""The kit where there is no GPU: real engines in the cache, the command's refusals, the unit."""

import configparser
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.sizes import SizeProfile
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.derive import Target, source_variant, with_engines
from fewstep.tensorrt.library import load_library
from fewstep_apps.jetson.engines import prepare
from fewstep_apps.jetson.unit import Served, systemd_unit

needs_library = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import tensorrt_rtx"], capture_output=True, check=False).returncode
    != 0,
    reason="the extra [tensorrt] is not installed",
)


@pytest.fixture
def half_bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle with its graphs under the name of FP16, which is what the kit looks for."""
    manifest = json.loads((tiny_bundle / "manifest.json").read_text())
    manifest["variants"] = [v | {"precision": "fp16"} for v in manifest["variants"][:1]]
    root = tmp_path / "tiny.fewstep"
    root.mkdir()
    for name in manifest["files"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((tiny_bundle / name).read_bytes())
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


@needs_library
def test_engines_are_built_once_for_a_content_a_gpu_and_options(half_bundle: Path, tmp_path: Path) -> None:
    bundle, library, cache = Bundle.open(half_bundle), load_library(), tmp_path / "cache"
    told: list[str] = []
    first = with_engines(
        bundle, Target(library), cache, BuildConfig(), on_component=lambda name, *_: told.append(name)
    )
    assert set(told) == {"text_encoder", "denoiser", "decoder"}
    made = Bundle.open(first)
    made.verify()
    (variant,) = made.manifest.variants
    assert (variant.name, variant.engine) == ("tensorrt-fp16", "tensorrt")
    assert {record.library for record in variant.engines.values()} == {library.__name__}
    told.clear()
    assert (
        with_engines(bundle, Target(library), cache, BuildConfig(), on_component=lambda *_: told.append(""))
        == first
    )
    assert not told
    assert with_engines(bundle, Target(library, "8.7"), cache, BuildConfig()) != first
    assert with_engines(bundle, Target(library), cache, BuildConfig(max_batch=4)) != first
    (first / variant.components["decoder"].file).write_bytes(b"cut off")
    assert with_engines(bundle, Target(library), cache, BuildConfig()) == first
    Bundle.open(first).verify()
    assert not list(cache.glob(".*"))


@needs_library
def test_two_builds_of_the_same_do_not_meet(half_bundle: Path, tmp_path: Path) -> None:
    bundle, target, cache = Bundle.open(half_bundle), Target(load_library()), tmp_path / "cache"
    refused: list[str] = []

    def meanwhile(*_: object) -> None:
        if not refused:
            with pytest.raises(FewstepError, match=r"expected nobody else to write .*tiny-") as caught:
                with_engines(bundle, target, cache, BuildConfig())
            refused.append(str(caught.value))

    made = with_engines(bundle, target, cache, BuildConfig(), on_component=meanwhile)
    assert refused
    Bundle.open(made).verify()
    assert with_engines(bundle, target, cache, BuildConfig()) == made
    assert not list(cache.glob(".*"))


@needs_library
def test_sizes_are_for_graphs_that_have_them(half_bundle: Path, tmp_path: Path) -> None:
    config = BuildConfig(profiles=(SizeProfile.parse("64"),))
    with pytest.raises(
        FewstepError, match=r"expected graphs of free sizes for --profile, found variant 'fp32'"
    ):
        with_engines(Bundle.open(half_bundle), Target(load_library()), tmp_path / "c", config)


@needs_library
def test_a_build_that_fails_leaves_nothing(half_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match="expected one of the compute capabilities"):
        with_engines(
            Bundle.open(half_bundle),
            Target(load_library()),
            tmp_path / "c",
            BuildConfig(compute_capabilities=("9.9",)),
        )
    assert not list((tmp_path / "c").iterdir())


@needs_library
def test_the_command_builds_without_a_gpu_and_refuses_to_draw(half_bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from fewstep_apps.jetson.cli import main; main()"]
    cache = ["--cache", str(tmp_path / "cache")]
    done = subprocess.run(
        [*command, "build", str(half_bundle), "--without-gpu", *cache],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Bundle.open(done.stdout.strip()).manifest.name == "tiny"
    assert prepare(Path(done.stdout.strip()), BuildConfig()) == Path(done.stdout.strip())
    done = subprocess.run(
        [*command, "draw", str(half_bundle), "a red heart", *cache],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:  # it would draw on a GPU
        assert done.returncode == 2
        assert done.stderr.startswith("fewstep-jetson: expected ")


def test_a_bundle_without_half_precision_graphs_is_refused(tiny_bundle: Path) -> None:
    manifest = Bundle.open(tiny_bundle).manifest
    with pytest.raises(FewstepError, match="expected a variant of ONNX graphs in FP16, found none"):
        source_variant(manifest)
    with pytest.raises(FewstepError, match="found fp32-ort"):
        source_variant(manifest, "fp32-ort")
    assert source_variant(manifest, "fp32").name == "fp32"


def test_the_unit_is_one_and_holds_no_surprises(tmp_path: Path) -> None:
    served = Served(tmp_path / "x.fewstep", tmp_path / "cache", "0.0.0.0", 7860, "tensorrt-int8")
    text = systemd_unit(served, "jetson")
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    assert unit["Service"]["User"] == "jetson"
    assert unit["Service"]["ExecStart"].split()[1:3] == ["serve", str(tmp_path / "x.fewstep")]
    assert unit["Service"]["ExecStart"].endswith(" --variant tensorrt-int8")
    assert unit["Service"]["ReadWritePaths"] == str(tmp_path / "cache")
    if verifier := shutil.which("systemd-analyze"):
        (tmp_path / "fewstep.service").write_text(
            text.replace(unit["Service"]["ExecStart"].split()[0], sys.executable)
        )
        done = subprocess.run(
            [verifier, "verify", "--man=no", str(tmp_path / "fewstep.service")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "fewstep.service" not in done.stdout + done.stderr
    with pytest.raises(FewstepError, match="expected a path without spaces"):
        systemd_unit(Served(tmp_path / "a b.fewstep", tmp_path, "127.0.0.1", 1), "jetson")

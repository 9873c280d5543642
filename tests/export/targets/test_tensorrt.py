"""A bundle with TensorRT engines, built by the real TensorRT-RTX on this machine without a GPU."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from tests.export.conftest import small_dit

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.pipeline import Pipeline
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.derive import Target, source_variant, with_engines
from fewstep.tensorrt.layers import Layer
from fewstep.tensorrt.library import load_library
from fewstep.verification import verify_bundle
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export_generator
from fewstep_export.loop_forms.config import LoopForms
from fewstep_export.onnx_export import export_component
from fewstep_export.targets.ort import to_fp16
from fewstep_export.targets.tensorrt import build, write_engine
from fewstep_export.tensorrt.audit import fallen_back, unfused_attention, wide_int64

pytest.importorskip("tensorrt_rtx", reason="the extra [tensorrt] is not installed")


@pytest.fixture(scope="session")
def engine_bundle(tiny: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for ONNX Runtime and TensorRT; tests only read it."""
    output = tmp_path_factory.mktemp("engine-bundles") / "tiny.fewstep"
    return export_generator(
        tiny, ExportConfig("tiny", output, ("ort", "tensorrt"), ("fp32", "fp16", "int8", "fp8"))
    )


def test_engines_are_in_the_bundle_with_how_they_were_made(engine_bundle: Path) -> None:
    bundle = Bundle.open(engine_bundle)
    bundle.verify()
    assert [v.name for v in bundle.manifest.variants] == [
        "fp32",
        "fp32-ort",
        "fp16",
        "tensorrt-fp16",
        "tensorrt-int8",
        "tensorrt-fp8",
    ]
    for name in ("tensorrt-fp16", "tensorrt-int8", "tensorrt-fp8"):
        variant = bundle.manifest.variant(name)
        assert (variant.engine, variant.format) == ("tensorrt", "engine")
        assert variant.engines.keys() == variant.components.keys() == {"text_encoder", "denoiser", "decoder"}
        for record in variant.engines.values():
            assert (record.library, record.max_batch, record.flags) == ("tensorrt_rtx", 2, ())
            assert record.version[0].isdigit() and record.seconds > 0
        assert all(bundle.manifest.bytes_of(c) > 10_000 for c in variant.components.values())
        psnr = variant.verification["pictures_emulated"].psnr
        assert psnr is not None and psnr > (35 if name == "tensorrt-fp16" else 12)


def test_verify_says_that_nothing_here_runs_them(engine_bundle: Path) -> None:
    findings = [f for f in verify_bundle(Bundle.open(engine_bundle)) if f.variant.startswith("tensorrt")]
    assert len(findings) == 9
    assert all(f.ok and f.error is None and "nothing here runs tensorrt" in f.note for f in findings)


def test_the_command_takes_the_options_of_engines(tmp_path: Path) -> None:
    config = ExportConfig(
        "tiny",
        tmp_path,
        ("tensorrt",),
        ("fp16",),
        engines=BuildConfig(4, ("8.6", "8.9"), workspace=1 << 28),
    )
    assert (
        "--max-batch 4 --compute-capability 8.6 --compute-capability 8.9 --workspace 268435456"
        in config.command()
    )
    assert config.options()["compute_capabilities"] == ["8.6", "8.9"]


def test_int8_needs_the_target_and_the_target_a_precision(tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match="expected --target tensorrt or coreml for int8, found ort"):
        ExportConfig("tiny", tmp_path, ("ort",), ("int8",))
    with pytest.raises(FewstepError, match="expected fp16, int8 or fp8 for the target tensorrt, found fp32"):
        ExportConfig("tiny", tmp_path, ("tensorrt",), ("fp32",))


def test_eight_bit_floats_need_the_target_alone_and_new_gpus(tmp_path: Path) -> None:
    for targets in (("ort",), ("coreml", "tensorrt")):
        with pytest.raises(FewstepError, match="expected --target tensorrt, and not coreml, for fp8"):
            ExportConfig("tiny", tmp_path, targets, ("fp32", "fp8"))
    with pytest.raises(FewstepError, match=r"capability 8\.9 or newer for fp8, found 8\.6, 8\.0;"):
        ExportConfig(
            "tiny",
            tmp_path,
            ("tensorrt",),
            ("fp8",),
            engines=BuildConfig(compute_capabilities=("8.6", "12.0", "8.0")),
        )


def unknown_operator() -> onnx.ModelProto:
    """A graph with a node that no TensorRT knows."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT16, ["batch", 4]) for name in "xy")
    node = helper.make_node("Det", ["x"], ["y"], "blocks.3/determinant")
    graph = helper.make_graph([node], "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_what_the_parser_refuses_is_told_with_node_and_scope(tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match=r"Det of node 'blocks.3/determinant' in scope 'blocks.3'"):
        write_engine(unknown_operator(), "denoiser", tmp_path / "x.engine", BuildConfig())
    assert not list(tmp_path.iterdir())


def test_a_layer_that_fell_back_is_found(engine_bundle: Path) -> None:
    model = onnx.load(engine_bundle / "ort/fp16/decoder.onnx")
    node = next(n.name for n in model.graph.node if n.op_type == "Conv")
    right = Layer("CONVOLUTION", (node,), ("HALF",))
    assert list(fallen_back(model, [right])) == []
    assert list(fallen_back(model, [right, Layer("CONVOLUTION", (node,), ("FLOAT",))])) == [node]
    with pytest.raises(FewstepError, match="expected layers with the names of their nodes"):
        list(fallen_back(model, [Layer("CONVOLUTION", ("other",), ("FLOAT",))]))


@pytest.mark.parametrize(
    ("config", "part"),
    [
        (
            BuildConfig(compute_capabilities=("9.0",)),
            r"expected one of the compute capabilities .*8\.6.*found 9\.0",
        ),
        (BuildConfig(version_compatible=True), "cannot build it: .*libnvinfer_lean"),
    ],
)
def test_what_cannot_be_built_is_told(
    engine_bundle: Path, tmp_path: Path, config: BuildConfig, part: str
) -> None:
    model = onnx.load(engine_bundle / "ort/fp16/decoder.onnx")
    with pytest.raises(FewstepError, match=part):
        write_engine(model, "decoder", tmp_path / "x.engine", config)


def test_a_cache_of_timings_is_not_for_the_library_that_takes_none(tmp_path: Path) -> None:
    config = BuildConfig(timing_cache=tmp_path / "timing.cache")
    with pytest.raises(FewstepError, match="expected tensorrt for --timing-cache, found tensorrt_rtx"):
        build([], ("fp16",), config, {}, tmp_path, lambda what: None)


def test_without_the_library_the_message_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['tensorrt'] = sys.modules['tensorrt_rtx'] = None\n"
        "from fewstep.tensorrt.library import load_library\n"
        "try: load_library()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("FewstepError expected tensorrt or tensorrt_rtx")
    assert "JetPack" in done.stdout


@pytest.mark.slow
def test_the_fused_step_of_a_bundle_becomes_an_engine_with_its_loop(tiny: Generator, tmp_path: Path) -> None:
    config = ExportConfig(
        "tiny",
        tmp_path / "tiny.fewstep",
        precisions=("fp16",),
        loop=LoopForms(hoist=True, fuse_step=True),
    )
    bundle = Bundle.open(export_generator(tiny, config))
    assert source_variant(bundle.manifest).name == "fp16-hoisted-fused"
    made = Bundle.open(with_engines(bundle, Target(load_library()), tmp_path / "cache", BuildConfig()))
    made.verify()
    variant = made.manifest.variant()
    assert (variant.name, variant.form) == ("tensorrt-fp16", "fused, hoisted")
    assert variant.components.keys() == {"text_encoder", "prompt", "fused_step", "decoder"}


@pytest.mark.slow
def test_graphs_alone_are_for_a_board_that_builds_its_own_engines(tiny: Generator, tmp_path: Path) -> None:
    config = ExportConfig(
        "tiny",
        tmp_path / "tiny.fewstep",
        ("tensorrt",),
        ("fp16", "int8"),
        engines=BuildConfig(graphs_only=True),
    )
    assert config.command().endswith("--graphs-only -o tiny.fewstep")
    bundle = Bundle.open(export_generator(tiny, config))
    bundle.verify()
    assert {v.name: (v.engine, v.format) for v in bundle.manifest.variants} == {
        "tensorrt-fp16": ("tensorrt", "onnx"),
        "tensorrt-int8": ("tensorrt", "onnx"),
    }
    with pytest.raises(FewstepError, match=r"fewstep-jetson build BUNDLE --variant tensorrt-int8"):
        Pipeline(bundle, "tensorrt-int8")
    target, cache = Target(load_library()), tmp_path / "cache"
    made = Bundle.open(with_engines(bundle, target, cache, BuildConfig(), "tensorrt-int8")).manifest
    assert (made.variant().name, made.variant().format) == ("tensorrt-int8", "engine")
    assert made.variant().engines.keys() == made.variant().components.keys()


def test_data_in_int64_is_found_and_arithmetic_on_shapes_is_not() -> None:
    small, wide = (Layer("GATHER", (), ("INT64",), name, (size,)) for name, size in (("a", 4), ("b", 400)))
    constant = Layer("CONSTANT", (), ("INT64",), "d", (400,))
    assert wide_int64([small, wide, Layer("CAST", (), ("HALF",), "c", (400,)), constant]) == ["b"]


def test_attention_is_one_kernel_although_its_softmax_is_in_fp32(tmp_path: Path) -> None:
    """The head has 16 channels or more, which TensorRT wants."""
    component, feeds = small_dit(depth=2)
    half = to_fp16(export_component(component, feeds).model)
    built = write_engine(half, "denoiser", tmp_path / "x.engine", BuildConfig())
    softmax = [layer for layer in built.layers if layer.kind == "SOFTMAX"]
    assert len(softmax) >= 2 and all(layer.dtypes == ("FLOAT",) for layer in softmax)
    assert unfused_attention(built) == []
    assert unfused_attention(replace(built, attention=frozenset())) == [layer.name for layer in softmax]

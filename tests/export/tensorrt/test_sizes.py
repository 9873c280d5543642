"""Graphs of free sizes against torch, engines with a profile for each range of sizes, and what cannot have them."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tests.export.conftest import small_dit

from fewstep.bundle import Bundle
from fewstep.devices.boards import board_named
from fewstep.errors import FewstepError
from fewstep.pipeline import Pipeline
from fewstep.sizes import SizeProfile, Sizes
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.derive import Target, with_engines
from fewstep.tensorrt.library import load_library
from fewstep.text_to_image import Drawing
from fewstep_export.components import Component, Generator, GraphComponent
from fewstep_export.config import ExportConfig
from fewstep_export.device_check.check import check
from fewstep_export.device_check.memory import activation_bytes, at_batch
from fewstep_export.exporter import export_generator
from fewstep_export.fixed_inputs import Case, Cases
from fewstep_export.loop_forms.config import LoopForms
from fewstep_export.onnx_export import ExportedComponent, Graphs
from fewstep_export.session import runner
from fewstep_export.targets.ort import to_fp16
from fewstep_export.targets.tensorrt import write_engine
from fewstep_export.tensorrt.sizes import SizedGraphs, fixed_sides, free_sides, free_sizes, side_multiple

PROFILES = (SizeProfile.parse("16:32:64"), SizeProfile.parse("96x48"))
"""Of the tiny generator, whose pictures have 32 pixels a side, 4 for a position of the latents."""


def dims(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


@pytest.fixture(scope="module")
def sized(graphs: Graphs, cases: Cases) -> SizedGraphs:
    """The tiny generator's graphs."""
    return free_sizes(list(graphs.values()), cases, PROFILES)


def test_free_graphs_are_torch_at_every_size(sized: SizedGraphs, graphs: Graphs, cases: Cases) -> None:
    assert sized.sizes == Sizes(4, PROFILES)
    models = {graph.component.name: graph.model for graph in sized.graphs}
    assert models["text_encoder"] == graphs["text_encoder"].model
    assert dims(models["denoiser"].graph.input[0]) == ["batch", 4, "height", "width"]
    assert dims(models["denoiser"].graph.output[0]) == ["batch", 4, "height", "width"]
    assert dims(models["decoder"].graph.output[0]) == ["batch", 4, "4*height", "4*width"]
    for graph in sized.graphs[1:]:
        component, run = graph.component, runner(graph.model)
        shapes = {case.feeds["latents"].shape[2:] for case in sized.cases[component.name]}
        assert shapes == {(8, 8), (4, 4), (16, 16), (12, 24)}
        for sides in ((5, 11), (16, 4)):  # within, and in no case
            latents = np.random.default_rng(0).standard_normal((1, 4, *sides)).astype(np.float32)
            feeds = {name: value[:1] for name, value in cases[component.name][0].feeds.items()}
            feeds |= {"latents": latents}
            for name, right in component.run(feeds).items():
                assert np.abs(run(feeds)[name] - right).max() <= 1e-5 * np.abs(right).max()


def test_profiles_hold_the_size_of_the_export_and_whole_positions(graphs: Graphs, cases: Cases) -> None:
    for text, part in (
        ("64", "expected the size of the export, 32x32, in one of the profiles, found 64x64"),
        ("30:32:34", "expected sizes whose sides are multiples of 4, found 30x30"),
    ):
        with pytest.raises(FewstepError, match=part):
            free_sizes(list(graphs.values()), cases, (SizeProfile.parse(text),))


def test_a_table_of_positions_is_for_one_size() -> None:
    component, feeds = small_dit(depth=1)
    exported = ExportedComponent(component, onnx.ModelProto(), None)
    with pytest.raises(
        FewstepError, match=r"expected a denoiser for pictures of many sizes, found one .* 8 x 8 alone"
    ):
        free_sides(exported, Case(feeds, component.run(feeds)), 8)


class Limited(torch.nn.Module):
    """Pictures of at most 12 positions a side, as tables of positions may say that are cut to size."""

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        if latents.shape[2] > 12:
            raise ValueError("too many positions")
        return torch.nn.functional.pixel_shuffle(latents, 2)


def test_a_size_beyond_a_networks_own_limit_is_told() -> None:
    component = Component("decoder", Limited(), ("latents",), ("image",))
    latents = np.random.default_rng(2).standard_normal((2, 4, 8, 8)).astype(np.float32)
    cases = {"decoder": [Case({"latents": latents}, component.run({"latents": latents}))]}
    graphs = [ExportedComponent(component, onnx.ModelProto(), None)]
    sized = free_sizes(graphs, cases, (SizeProfile.parse("8:16:24"),))
    assert [case.feeds["latents"].shape[2] for case in sized.cases["decoder"]] == [8, 4, 12]
    with pytest.raises(
        FewstepError, match="expected a decoder for pictures of 16x32, found: too many positions"
    ):
        free_sizes(graphs, cases, (SizeProfile.parse("16x16:16x16:16x32"),))


def described(height: str | int) -> ExportedComponent:
    """A graph of somebody else's that halves and doubles its latents, free in its sides or not, and in the length of its text."""
    x = helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["batch", 4, height, "w"])
    t = helper.make_tensor_value_info("text_states", TensorProto.FLOAT, ["batch", "length", 4])
    y = helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["batch", 4, None, None])
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 2])
    nodes = [
        helper.make_node("AveragePool", ["latents"], ["small"], "down", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["small", "", "scales"], ["large"], "up", mode="nearest"),
        helper.make_node("Add", ["large", "latents"], ["sum"], "skip"),
        helper.make_node("ReduceMax", ["text_states"], ["most"], "text", keepdims=0),
        helper.make_node("Add", ["sum", "most"], ["noise"], "told"),
    ]
    graph = helper.make_graph(nodes, "g", [x, t], [y], [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    component = GraphComponent("denoiser", model, ("latents", "text_states"), ("noise",))
    return ExportedComponent(component, model, None)


def case_of(exported: ExportedComponent) -> Case:
    rng = np.random.default_rng(1)
    shapes = {"latents": (2, 4, 8, 8), "text_states": (2, 5, 4)}
    feeds = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return Case(feeds, exported.component.run(feeds))


def test_somebody_elses_graph_may_be_free_in_its_sides() -> None:
    exported = described("h")
    case = case_of(exported)
    freed = free_sides(exported, case, 8)
    assert dims(freed.model.graph.input[0]) == ["batch", 4, "height", "width"]
    assert dims(freed.model.graph.output[0]) == ["batch", 4, "height", "width"]
    assert dims(freed.model.graph.input[1]) == ["batch", 5, 4]  # of which no profile tells
    assert side_multiple("denoiser", runner(freed.model), case) == 2
    with pytest.raises(FewstepError, match="found one that computes with latents of 8 x 8 alone"):
        free_sides(described(8), case, 8)
    fixed = fixed_sides(exported, case).model
    assert dims(fixed.graph.input[0]) == ["batch", 4, 8, 8]
    assert dims(fixed.graph.output[0])[1:] == [4, 8, 8]
    assert np.array_equal(runner(fixed)(case.feeds)["noise"], case.expected["noise"])
    assert (
        fixed_sides(ExportedComponent(exported.component, fixed, None), case).model is fixed
    )  # nothing to do


def test_the_command_says_the_profiles_and_refuses_what_has_one_size(tmp_path: Path) -> None:
    config = ExportConfig("x", tmp_path, ("tensorrt",), ("fp16",), engines=BuildConfig(profiles=PROFILES))
    assert "--profile 16x16:32x32:64x64 --profile 96x48:96x48:96x48" in config.command()
    assert config.options()["profiles"] == ["16x16:32x32:64x64", "96x48:96x48:96x48"]
    with pytest.raises(FewstepError, match="expected --target tensorrt for --profile, found ort"):
        replace(config, targets=("ort",))
    with pytest.raises(FewstepError, match="expected no other form of the loop with --profile"):
        replace(config, targets=("ort", "tensorrt"), loop=LoopForms(fuse_step=True))


def test_engines_have_a_profile_for_every_range_of_sizes(sized: SizedGraphs, tmp_path: Path) -> None:
    """An engine is loaded on a GPU alone; what it says of its profiles there stands in its file as TensorRT's Dims: numbers of 64 bits."""
    pytest.importorskip("tensorrt_rtx", reason="the extra [tensorrt] is not installed")
    config, shapes = (
        BuildConfig(profiles=PROFILES),
        ((1, 4, 4, 4), (2, 4, 8, 8), (2, 4, 16, 16), (1, 4, 12, 24), (2, 4, 12, 24)),
    )
    for graph in sized.graphs:
        name, half = graph.component.name, to_fp16(graph.model)
        content = write_engine(half, name, tmp_path / f"{name}.engine", config, 4).content
        found = [shape for shape in shapes if struct.pack("<4q", *shape) in content]
        assert found == ([] if name == "text_encoder" else list(shapes))
        assert struct.pack("<4q", 2, 4, 24, 24) not in content
        assert (b"[profile 1]" in content) == (name != "text_encoder")  # which has no sizes
        assert b"[profile 2]" not in content


def _require_memory_of_the_largest(bundle: Bundle) -> None:
    """What `fewstep check` says."""
    findings = check(bundle, board_named("orin-nano-4gb"), "tensorrt-fp16")
    assert not any("free dimensions" in f.what or "is unknown" in f.what for f in findings)
    decoder = onnx.load(bundle.root / "tensorrt/fp16/decoder.onnx")
    small, large = (
        activation_bytes(at_batch(decoder, 2, {"height": height, "width": width}))
        for height, width in ((8, 8), (12, 24))
    )
    assert small[1] == large[1] == 0
    assert large[0] >= 4.5 * small[0]  # as many positions, and more for attention


def _require_pictures_of_other_sizes(bundle: Bundle, generator: Generator) -> None:
    """ONNX Runtime draws with the graphs in TensorRT's place, through the runtime's own way for other sizes."""
    path = bundle.root / "manifest.json"
    value = json.loads(path.read_text())
    value["variants"][0]["engine"] = "onnxruntime"
    path.write_text(json.dumps(value))
    pipeline, model = Pipeline(bundle.root, "tensorrt-fp16"), generator.text_to_image()
    table = pipeline.step_table()
    for size in ((32, 32), (48, 64), (96, 48)):
        sides = size[1] // 4, size[0] // 4
        found = pipeline.generate_array(["a red heart"], [1], size=size)
        right = model.draw(Drawing(["a red heart"], [1], table, sides=sides))
        assert found.shape == right.shape == (1, 4, size[1], size[0])
        assert 10 * np.log10(1 / np.square(found - right).mean()) > 35
    with pytest.raises(FewstepError, match="multiples of 4, found 50x50, for variant 'tensorrt-fp16'"):
        pipeline.generate("a red heart", size=(50, 50))
    path.write_text(json.dumps(bundle.manifest.to_dict()))


@pytest.mark.slow
def test_a_board_builds_for_the_sizes_that_it_wants(tiny: Generator, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="the extra [tensorrt] is not installed")
    engines = BuildConfig(profiles=PROFILES, graphs_only=True)
    config = ExportConfig("tiny", tmp_path / "x.fewstep", ("tensorrt",), ("fp16", "int8"), engines=engines)
    bundle = Bundle.open(export_generator(tiny, config))
    variant = bundle.manifest.variant("tensorrt-int8")
    assert variant.sizes == Sizes(4, PROFILES)
    assert variant.components["denoiser"].inputs[0].shape == ("batch", 4, "height", "width")
    _require_pictures_of_other_sizes(bundle, tiny)
    _require_memory_of_the_largest(bundle)
    target, cache = Target(load_library()), tmp_path / "cache"
    wanted = BuildConfig(profiles=(SizeProfile.parse("32:32:48"),))
    for name in ("tensorrt-fp16", "tensorrt-int8"):
        made = Bundle.open(with_engines(bundle, target, cache, wanted, name)).manifest
        assert made.variant().sizes == Sizes(4, wanted.profiles)
        whole = Bundle.open(with_engines(bundle, target, cache, BuildConfig(), name)).manifest
        assert whole.variant().sizes == Sizes(4, PROFILES)
    for text in ("32:32:80", "32:32:46"):
        outside = BuildConfig(profiles=(SizeProfile.parse(text),))
        with pytest.raises(FewstepError, match="expected a size in 16x16:32x32:64x64 or 96x48"):
            with_engines(bundle, target, cache, outside, "tensorrt-fp16")

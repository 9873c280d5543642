"""Bits under a budget: the greedy choice against all choices, and what is stored."""

from collections.abc import Iterable
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fewstep.network import Feeds
from fewstep_export.coreml.compress import index_bits, palettize
from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.mixed_bits import (
    LEAST,
    WORDS,
    Fitted,
    Option,
    Stored,
    cost,
    mixed,
    shared_by,
    spend,
)
from fewstep_export.coreml.package import read_package
from fewstep_export.coreml.picture_gradients import Errors
from fewstep_export.onnx_export import Graphs
from fewstep_export.package_config import MinimumTarget
from fewstep_export.targets.ort import to_fp16

CHOICES = (4, 6, 8)


def test_greedy_choice_is_the_best_one_for_weights_of_one_size() -> None:
    rows = [(9.0, 1.0), (0.4, 0.1), (4.0, 0.2), (0.5, 0.2)]
    options = [{b: Option(b, e) for b, e in zip(CHOICES, (*row, 0.0), strict=True)} for row in rows]
    chosen = spend([10] * 4, options, budget=5.0)
    allowed = [bits for bits in product(CHOICES, repeat=4) if sum(bits) <= 5.0 * 4]
    best = min(allowed, key=lambda bits: sum(options[i][b].error for i, b in enumerate(bits)))
    assert tuple(chosen) == best


def test_a_budget_out_of_reach_takes_the_fewest_bits() -> None:
    assert spend([10, 10], [{4: Option(4.1, 1.0), 6: Option(6.1, 0.5)}] * 2, budget=1.0) == [4, 4]


@pytest.mark.parametrize(("bits", "rows", "columns"), [(4, 448, 448), (6, 512, 128), (8, 64, 9), (4, 7, 100)])
def test_palettes_that_channels_share_cost_little(bits: int, rows: int, columns: int) -> None:
    channels = shared_by(bits, rows, columns)
    if channels:
        assert rows % channels == 0 and 16 * 2**bits / (channels * columns) <= 0.08
    else:
        assert all(rows % size or 16 * 2**bits / (size * columns) > 0.08 for size in range(1, rows))


@pytest.fixture(scope="session")
def half(graphs: Graphs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The FP16 package of the tiny decoder for iOS 18; tests only read it."""
    path = tmp_path_factory.mktemp("palettes") / "decoder.mlpackage"
    convert(to_fp16(graphs["decoder"].model), path, ConvertConfig("iOS18"))
    return path


@pytest.mark.parametrize("grouped", [False, True])
def test_budget_holds_and_the_package_computes_with_the_palettes(
    grouped: bool, half: Path, inputs: dict[str, list[Feeds]], tmp_path: Path
) -> None:
    fitted = Fitted(half, inputs["decoder"], grouped)
    chosen = mixed({"denoiser": fitted}, {"denoiser": _errors(fitted)}, CHOICES, 5.5)["denoiser"]
    assert len({stored.form.bits for stored in chosen.values()}) > 1
    assert _average(chosen.values()) <= 5.5
    path = tmp_path / "mixed.mlpackage"
    palettize(half, path, chosen)
    packed = [op for op in read_package(path).operations if op.operator == "constexpr_lut_to_dense"]
    assert len(packed) == len(chosen)
    assert any(op.arguments["lut"].type.shape[0] > 1 for op in packed) == grouped
    rounded = {name: stored.values.numpy().astype(np.float16) for name, stored in chosen.items()}
    expected = Evaluator(half).with_constants(rounded)(inputs["decoder"][0])["image"]
    np.testing.assert_allclose(Evaluator(path)(inputs["decoder"][0])["image"], expected, atol=1e-6)


def test_what_the_text_encoder_leaves_goes_to_the_other_networks(
    half: Path, inputs: dict[str, list[Feeds]]
) -> None:
    """The same network twice, with the same errors: one as a text encoder."""
    fitted = Fitted(half, inputs["decoder"], grouped=True)
    both = {"text_encoder": fitted, "denoiser": fitted}
    chosen = mixed(both, dict.fromkeys(both, _errors(fitted)), (3, *CHOICES), 4.5)
    text, others = (_average(chosen[name].values()) for name in both)
    assert others > 4.5 and (text + others) / 2 <= 4.5
    assert {stored.form.bits for stored in chosen["text_encoder"].values()} == {4}


def test_a_decoder_keeps_its_least_bits(half: Path, inputs: dict[str, list[Feeds]]) -> None:
    fitted = Fitted(half, inputs["decoder"], grouped=True)
    chosen = mixed({"decoder": fitted}, {"decoder": _errors(fitted)}, CHOICES, 4.5)["decoder"]
    assert {stored.form.bits for stored in chosen.values()} == {LEAST["decoder"]}


def test_the_table_of_words_has_fewer_bits_than_the_layer_behind(tmp_path: Path) -> None:
    path = tmp_path / "text_encoder.mlpackage"
    convert(to_fp16(_reader()), path, ConvertConfig("iOS18"))
    fitted = Fitted(path, [{"ids": np.array([[3, 1, 62]], np.int32)}], grouped=True)
    (table,) = fitted.words
    for component, expected in (("text_encoder", (WORDS, LEAST["text_encoder"])), ("denoiser", (8, 8))):
        chosen = mixed({component: fitted}, {component: _errors(fitted)}, (3, *CHOICES), 16.0)[component]
        (layer,) = chosen.keys() - {table}
        assert (chosen[table].form.bits, chosen[layer].form.bits) == expected


@pytest.mark.parametrize(("target", "expected"), [("iOS17", {4}), ("iOS18", {3, 4})])
def test_indices_have_the_bits_that_the_oldest_system_knows(
    target: MinimumTarget, expected: set[int], tmp_path: Path
) -> None:
    half, path = tmp_path / "half.mlpackage", tmp_path / "mixed.mlpackage"
    feeds = {"ids": np.array([[3, 1, 62]], np.int32)}
    convert(to_fp16(_reader()), half, ConvertConfig(target))
    fitted = Fitted(half, [feeds], grouped=target != "iOS17")
    choices = index_bits((3, *CHOICES), target)
    chosen = mixed({"text_encoder": fitted}, {"text_encoder": _errors(fitted)}, choices, 4.5)["text_encoder"]
    assert {stored.form.bits for stored in chosen.values()} == expected
    palettize(half, path, chosen)
    rounded = {name: stored.values.numpy().astype(np.float16) for name, stored in chosen.items()}
    right = Evaluator(half).with_constants(rounded)(feeds)["states"]
    np.testing.assert_allclose(Evaluator(path)(feeds)["states"], right, atol=1e-6)


def _reader() -> onnx.ModelProto:
    """The network ids -> E[ids] -> E[ids] W, with E of 64 words."""
    draw = np.random.default_rng(0).standard_normal
    weights = {"table": draw((64, 32), np.float32), "layer": draw((32, 48), np.float32)}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"]),
        helper.make_node("MatMul", ["words", "layer"], ["states"]),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT32, (1, 3))
    states = helper.make_tensor_value_info("states", TensorProto.FLOAT, (1, 3, 48))
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [ids], [states], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def _errors(fitted: Fitted) -> Errors:
    """Errors by the rule of thumb 4^-bits, of a weight and those after it in turn larger by a half."""
    bits = (3, *CHOICES)
    return {name: {b: 1.5**k * 4.0**-b for b in bits} for k, name in enumerate(fitted.in_bits(4))}


def _average(chosen: Iterable[Stored]) -> float:
    """Bits a weight, palettes included."""
    sizes = [(stored.values.numel(), cost(stored)) for stored in chosen]
    return sum(size * bits for size, bits in sizes) / sum(size for size, _ in sizes)

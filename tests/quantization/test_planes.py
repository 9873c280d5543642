from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from tests.quantization.test_search import PLANTED, planted  # noqa: F401 - the fixture

from fewstep.bundle import Bundle
from fewstep_quantization.affine import Range
from fewstep_quantization.config import Limits, QuantizeConfig
from fewstep_quantization.measure import SEED, Comparison, compare
from fewstep_quantization.pictures import Graphs, Source
from fewstep_quantization.planes import Drawer, by_worth, fewest
from fewstep_quantization.schemes.static_int8 import to_static_int8
from fewstep_quantization.schemes.weight_only import to_weight_only
from fewstep_quantization.trajectory import mean_relative_error, outputs
from fewstep_quantization.variant_writer import commit, draft

LAYERS = [f"y{k}" for k in range(5)]


def test_the_layer_whose_input_is_rounded_worst_gets_its_second_plane_first(
    planted: tuple[onnx.ModelProto, Mapping[str, Range]],  # noqa: F811 - the fixture
) -> None:
    model, ranges = planted

    def quantise(wide: Collection[str]) -> onnx.ModelProto:
        return to_static_int8(model, ranges, (), wide)

    calls = [{"x": np.random.default_rng(k).standard_normal((2, 9, 16)).astype(np.float32)} for k in range(3)]
    choices = by_worth(model, quantise, LAYERS, calls)
    assert choices[:2] == [frozenset(), frozenset({f"y{PLANTED}"})] and choices[-1] == frozenset(LAYERS)
    assert all(len(choice) == k and choices[k - 1] < choice for k, choice in enumerate(choices) if k)
    expected = outputs(model, calls)
    errors = [mean_relative_error(outputs(quantise(choice), calls), expected) for choice in choices]
    assert errors[1] < errors[0] / 4 and errors[-1] == min(errors)


def test_as_few_as_reach_it_are_taken_and_all_where_none_do() -> None:
    choices = [frozenset(LAYERS[:k]) for k in range(6)]
    asked: list[int] = []

    def reached(planes: frozenset[str]) -> bool:
        asked.append(len(planes))
        return len(planes) >= 4

    assert fewest(choices, reached) == choices[4]
    assert len(asked) <= 3  # each is a whole set of pictures
    assert fewest(choices, lambda _: True) == frozenset()
    assert fewest(choices, lambda _: False) == choices[5]


def test_pictures_are_compared_as_the_gate_compares_them(own_bundle: Path, fp32: Graphs) -> None:
    """A variant in the bundle, drawn by the gate, and the same graphs in memory: one figure."""
    bundle = Bundle.open(own_bundle)
    table, prompts = bundle.step_table(None, None), ["red heart", "pizza", "rocket"]
    eight = {name: to_weight_only(graph, 8) for name, graph in fp32.items()}
    with draft(bundle, replace(bundle.manifest.variant("fp32"), name="w8"), eight) as new:
        commit(new, new.variant())
    gate = compare(Bundle.open(own_bundle), Comparison("w8", "fp32", prompts, table, 1), "w8").gate
    found = Drawer(Source(bundle), prompts, table, SEED).likeness(fp32)(eight)
    assert gate.psnr_interval is not None and abs(found - gate.psnr_interval[0]) < 0.05


def test_with_a_limit_of_psnr_as_many_pictures_are_compared_as_calibrate(tmp_path: Path) -> None:
    assert QuantizeConfig(tmp_path, "int8", pictures=9).compared == 6
    assert QuantizeConfig(tmp_path, "int8", pictures=9, limits=Limits(psnr=30.0)).compared == 9

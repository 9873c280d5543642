from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from fewstep.errors import FewstepError
from fewstep_export.fixed_inputs import Cases
from fewstep_export.onnx_export import Graphs, to_bytes
from fewstep_export.passes.clean_metadata import CLASS
from fewstep_export.passes.fp16 import ToFp16

COMPONENTS = ["text_encoder", "denoiser", "decoder"]


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Element types by value."""
    found = {
        v.name: v.type.tensor_type.elem_type
        for v in (*model.graph.value_info, *model.graph.output, *model.graph.input)
    }
    return found | {value.name: value.data_type for value in model.graph.initializer}


@pytest.mark.parametrize("name", COMPONENTS)
def test_inputs_and_outputs_stay_and_the_numbers_nearly(
    name: str, graphs: Graphs, cases: Cases, apply: Callable[..., onnx.ModelProto]
) -> None:
    for case in cases[name][:2]:
        (expected,) = case.expected.values()
        scale = float(np.abs(expected).max())
        before = graphs[name].model
        after = apply(ToFp16(), before, case.feeds, atol=2e-3 * scale)
        assert list(after.graph.input) == list(before.graph.input)
        assert list(after.graph.output) == list(before.graph.output)


@pytest.mark.parametrize("name", COMPONENTS)
def test_matrix_products_and_convolutions_are_half_but_for_linear_attention(
    name: str, graphs: Graphs, cases: Cases, apply: Callable[..., onnx.ModelProto]
) -> None:
    after = apply(ToFp16(), graphs[name].model, cases[name][0].feeds, atol=1)
    kinds = types(after)
    for node in after.graph.node:
        owner = {entry.key: entry.value for entry in node.metadata_props}.get(CLASS)
        if node.op_type in ("MatMul", "Gemm", "Conv"):
            expected = onnx.TensorProto.FLOAT if owner == "LinearAttention" else onnx.TensorProto.FLOAT16
            assert {kinds[value] for value in node.input} == {expected}, node.name
        if node.op_type in (
            "Softmax",
            "ReduceMean",
            "ReduceSum",
            "Pow",
            "Div",
            "Cos",
            "Sin",
            "LayerNormalization",
        ):
            assert kinds[node.output[0]] == onnx.TensorProto.FLOAT, node.name


def test_the_file_is_about_half_as_large(
    graphs: Graphs, cases: Cases, apply: Callable[..., onnx.ModelProto]
) -> None:
    before = graphs["decoder"].model
    after = apply(ToFp16(), before, cases["decoder"][0].feeds, atol=1)
    assert len(to_bytes(after)) < 0.65 * len(to_bytes(before))


def test_every_value_has_a_cast_in_each_direction_at_most_once(
    graphs: Graphs, cases: Cases, apply: Callable[..., onnx.ModelProto]
) -> None:
    after = apply(ToFp16(), graphs["denoiser"].model, cases["denoiser"][0].feeds, atol=1)
    casts = [node for node in after.graph.node if node.op_type == "Cast"]
    assert len({(node.input[0], node.attribute[0].i) for node in casts}) == len(casts)
    kinds = types(after)
    assert all(kinds[node.input[0]] != kinds[node.output[0]] for node in casts)


def test_a_weight_that_overflows_is_named(graphs: Graphs) -> None:
    model = ir.serde.deserialize_model(graphs["decoder"].model)
    name = "decoder.conv_in.weight"
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    values = tensor.numpy().copy()
    values[0, 0, 0, 0] = 7e4
    model.graph.initializers[name].const_value = ir.tensor(values, name=name)
    with pytest.raises(
        FewstepError, match=r"at most 65504 in FP16, found 70000, in decoder\.conv_in\.weight"
    ):
        ToFp16()(model)


def test_values_of_unknown_type_are_refused(graphs: Graphs) -> None:
    model = ir.serde.deserialize_model(graphs["decoder"].model)
    model.graph[0].outputs[0].type = None
    with pytest.raises(ir.passes.PreconditionError, match="expected values of known type, found conv2d"):
        ToFp16()(model)

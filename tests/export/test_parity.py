"""A graph with one wrong weight, one wrong node, or one overflow does not pass, and the message says where it is."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from fewstep.errors import FewstepError
from fewstep_export.components import Component, Feeds, Generator
from fewstep_export.first_difference import first_difference, program_tensors
from fewstep_export.fixed_inputs import Case, Cases
from fewstep_export.onnx_export import ExportedComponent, Graphs, export_component
from fewstep_export.parity import FP16_TOLERANCE, FP32_TOLERANCE, Check, ParityError, verify
from fewstep_export.session import runner, tensors
from fewstep_export.targets.ort import emulate_fp16, to_fp16


def check_of(exported: ExportedComponent, model: onnx.ModelProto, tolerance: float = FP32_TOLERANCE) -> Check:
    return Check(exported, "fp32", runner(model), model, tolerance)


def with_weight(model: onnx.ModelProto, name: str, factor: float) -> onnx.ModelProto:
    """A copy of the model with the largest value of one initializer multiplied."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    (tensor,) = [tensor for tensor in changed.graph.initializer if tensor.name == name]
    values = numpy_helper.to_array(tensor).copy()
    values.flat[np.abs(values).argmax()] *= factor
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    return changed


@pytest.mark.parametrize("name", ["text_encoder", "denoiser", "decoder"])
def test_a_right_graph_passes_and_tells_its_error(name: str, graphs: Graphs, cases: Cases) -> None:
    result = verify(check_of(graphs[name], graphs[name].model), cases[name])
    assert 0 < result.max_abs_error <= 1e-5 * result.output_scale
    (output,) = graphs[name].component.outputs
    assert result.output_scale == max(np.abs(case.expected[output]).max() for case in cases[name])


@pytest.mark.parametrize(
    ("component", "weight", "tensor"),
    [
        ("denoiser", "blocks.1.ffn.conv_depth.weight", "blocks.1.ffn.conv_depth/"),
        ("denoiser", "time.linear_2.weight", "time.linear_2/"),
        ("denoiser", "proj_out.weight", "proj_out/velocity"),
        ("decoder", "decoder.conv_in.weight", "decoder.conv_in/"),
        ("text_encoder", "layers.0.query.bias", "layers.0.query/"),
    ],
)
def test_one_wrong_weight_is_found_where_it_is(
    component: str, weight: str, tensor: str, graphs: Graphs, cases: Cases
) -> None:
    wrong = with_weight(graphs[component].model, weight, factor=3.0)
    with pytest.raises(ParityError, match="the first tensor that differs is") as caught:
        verify(check_of(graphs[component], wrong), cases[component])
    assert caught.value.component == component
    assert caught.value.difference is not None
    assert caught.value.difference.node.startswith(tensor), caught.value


def test_a_wrong_operator_is_found(graphs: Graphs, cases: Cases) -> None:
    wrong = onnx.ModelProto()
    wrong.CopyFrom(graphs["denoiser"].model)
    relu = next(node for node in wrong.graph.node if node.op_type == "Relu")
    relu.op_type = "Abs"
    with pytest.raises(ParityError, match=f"'{relu.output[0]}' of the Abs node 'blocks.0.attention/relu'"):
        verify(check_of(graphs["denoiser"], wrong), cases["denoiser"])


def test_a_wrong_weight_in_fp16_is_found(graphs: Graphs, cases: Cases) -> None:
    wrong = emulate_fp16(to_fp16(with_weight(graphs["denoiser"].model, "patch_embed.weight", 3.0)))
    with pytest.raises(ParityError, match=r"patch_embed/"):
        verify(check_of(graphs["denoiser"], wrong, FP16_TOLERANCE), cases["denoiser"])


class _Overflow(torch.nn.Module):
    """1e5 in between, 1 at the end: right in FP32, infinite in FP16."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = torch.nn.Conv2d(4, 4, 1, bias=False), torch.nn.Conv2d(4, 4, 1, bias=False)
        with torch.no_grad():
            self.up.weight.copy_(torch.eye(4)[..., None, None] * 300)
            self.down.weight.copy_(torch.eye(4)[..., None, None] / 90000)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.down(self.up(self.up(latents)))
        return result


def test_an_overflow_in_fp16_is_found_that_this_cpu_does_not_have(tiny: Generator) -> None:
    decoder = tiny.component("decoder")
    component = Component(
        decoder.name, _Overflow().eval().requires_grad_(False), decoder.inputs, decoder.outputs
    )
    feeds = {"latents": np.linspace(-2, 2, 128, dtype=np.float32).reshape(2, 4, 4, 4)}
    exported, case = export_component(component, feeds), Case(feeds, component.run(feeds))
    half = to_fp16(exported.model)
    verify(check_of(exported, half, FP16_TOLERANCE), [case])  # x86 computes FP16 graphs in FP32
    with pytest.raises(
        ParityError, match=r"first tensor that differs is 'conv2d_1' .* \(relative error inf\)"
    ):
        verify(check_of(exported, emulate_fp16(half), FP16_TOLERANCE), [case])


def test_not_a_number_is_an_error_of_its_own_size(graphs: Graphs, cases: Cases) -> None:
    wrong = with_weight(graphs["decoder"].model, "decoder.conv_in.bias", float("nan"))
    with pytest.raises(ParityError, match="found inf"):
        verify(check_of(graphs["decoder"], wrong), cases["decoder"])


def test_padding_of_the_text_does_not_count(graphs: Graphs, cases: Cases) -> None:
    exported = graphs["text_encoder"]

    def spoiled(feeds: Feeds) -> Feeds:
        padding = (feeds["text_mask"] == 0)[..., None].astype(np.float32)
        return {name: states + padding for name, states in runner(exported.model)(feeds).items()}

    verify(replace(check_of(exported, exported.model), run=spoiled), cases["text_encoder"])


def test_an_untrained_output_of_zeros_is_refused(graphs: Graphs, cases: Cases) -> None:
    zero = [
        replace(case, expected={"velocity": np.zeros_like(case.expected["velocity"])})
        for case in cases["denoiser"]
    ]
    with pytest.raises(FewstepError, match=r"other than 0 in torch, found a largest value of 0\.0; train"):
        verify(check_of(graphs["denoiser"], graphs["denoiser"].model), zero)


def test_most_tensors_of_graph_and_program_can_be_compared(graphs: Graphs, cases: Cases) -> None:
    for name, exported in graphs.items():
        expected = program_tensors(exported, cases[name][0].feeds)
        matched = [key for key in tensors(exported.model, cases[name][0].feeds) if key in expected]
        assert len(matched) > 0.75 * len(exported.model.graph.node)
        for output, values in cases[name][0].expected.items():
            np.testing.assert_array_equal(expected[output], values)


def test_equal_graphs_have_at_most_a_small_difference(graphs: Graphs, cases: Cases) -> None:
    exported = graphs["denoiser"]
    difference = first_difference(exported.model, exported, cases["denoiser"][0].feeds, 1e-4)
    assert difference is not None and difference.relative_error < 1e-4

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from fewstep.errors import FewstepError
from fewstep_export.components import Component, Generator
from fewstep_export.fixed_inputs import Cases
from fewstep_export.onnx_export import OPSET, Graphs, export_component, to_bytes
from fewstep_export.session import runner

COMPONENTS = ["text_encoder", "denoiser", "decoder"]


@pytest.mark.parametrize("name", COMPONENTS)
def test_names_opset_and_free_batch(name: str, graphs: Graphs) -> None:
    model = graphs[name].model
    component = graphs[name].component
    assert tuple(value.name for value in model.graph.input) == component.inputs
    assert tuple(value.name for value in model.graph.output) == component.outputs
    for value in (*model.graph.input, *model.graph.output):
        first, *rest = value.type.tensor_type.shape.dim
        assert first.dim_param == "batch" and all(dim.dim_value for dim in rest)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert not any(tensor.external_data for tensor in model.graph.initializer)


@pytest.mark.parametrize("name", COMPONENTS)
def test_numbers_are_those_of_torch_at_every_batch(name: str, graphs: Graphs, cases: Cases) -> None:
    run = runner(graphs[name].model)
    (output,) = graphs[name].component.outputs
    assert sorted({len(case.expected[output]) for case in cases[name]}) == [1, 2]
    for case in cases[name]:
        expected = case.expected[output]
        np.testing.assert_allclose(
            run(case.feeds)[output], expected, rtol=0, atol=1e-5 * np.abs(expected).max()
        )


def test_no_shape_is_computed_at_run_time(graphs: Graphs) -> None:
    for exported in graphs.values():
        assert not {"Shape", "Constant", "SequenceAt", "CastLike"} & {
            node.op_type for node in exported.model.graph.node
        }


def test_every_weight_keeps_its_name_or_is_folded(graphs: Graphs) -> None:
    names = {tensor.name for tensor in graphs["denoiser"].model.graph.initializer}
    assert {"patch_embed.weight", "blocks.1.ffn.conv_depth.weight", "time.linear_1.weight"} <= names


def test_the_same_component_gives_the_same_bytes(tiny: Generator, graphs: Graphs, cases: Cases) -> None:
    again = export_component(tiny.component("decoder"), cases["decoder"][0].feeds)
    first, second = (hashlib.sha256(to_bytes(x.model)).hexdigest() for x in (graphs["decoder"], again))
    assert first == second


def test_saving_and_loading_changes_nothing(graphs: Graphs, tmp_path: Path) -> None:
    path = tmp_path / "decoder.onnx"
    path.write_bytes(to_bytes(graphs["decoder"].model))
    assert onnx.load(path) == graphs["decoder"].model


class _Branch(torch.nn.Module):
    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return latents if latents.sum() > 0 else -latents


def test_a_module_that_cannot_be_traced_is_named() -> None:
    component = Component("decoder", _Branch(), ("latents",), ("image",))
    with pytest.raises(FewstepError, match="expected decoder to be exportable, found: "):
        export_component(component, {"latents": np.ones((2, 3), np.float32)})

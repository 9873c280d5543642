from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from fewstep_export.components import Feeds
from fewstep_export.onnx_export import simplify
from fewstep_export.passes.fold_constants import FoldConstants
from fewstep_export.session import tensors
from fewstep_models.layers import LinearAttention


def simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    return ir.serde.serialize_model(simplify(ir.serde.deserialize_model(model)).model)


class TinyEps(torch.nn.Module):
    """0 / (0 + eps) is 0; 0 / 0 is not a number."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / (x + self.eps)


def test_constants_and_transposed_weights_are_folded(
    sample: tuple[onnx.ModelProto, Feeds], apply: Callable[..., onnx.ModelProto]
) -> None:
    after = apply(FoldConstants(), *sample, atol=1e-6)
    operators = {node.op_type for node in after.graph.node}
    assert not {"Constant", "Identity", "Exp", "Range", "Transpose", "CastLike"} & operators


@pytest.mark.parametrize("eps", [1e-6, 1e-8, 1e-9, 1e-12])
def test_a_tiny_eps_is_kept(eps: float, raw_export: Callable[..., onnx.ModelProto]) -> None:
    graph = simplified(raw_export(TinyEps(eps), torch.ones(2, 3)))
    (output,) = (tensors(graph, {"x": np.zeros((2, 3), np.float32)})[v.name] for v in graph.graph.output)
    np.testing.assert_array_equal(output, 0)


def test_a_dead_head_of_linear_attention_gives_zero(raw_export: Callable[..., onnx.ModelProto]) -> None:
    torch.manual_seed(0)
    attention = LinearAttention(64, 32).eval()
    with torch.no_grad():
        attention.to_qkv.weight[:32] = 0  # q of the first head
        attention.to_out.load_state_dict({"weight": torch.eye(64)[..., None, None], "bias": torch.zeros(64)})
    x = torch.randn(2, 64, 4, 4)
    graph = simplified(raw_export(attention, x))
    (output,) = (tensors(graph, {"x": x.numpy()})[v.name] for v in graph.graph.output)
    np.testing.assert_array_equal(output[:, :32], 0)
    np.testing.assert_allclose(output[:, 32:], attention(x).detach().numpy()[:, 32:], atol=1e-6)

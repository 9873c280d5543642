from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import torch

from fewstep_export.passes.drop_void_squeezes import DropVoidSqueezes
from fewstep_export.passes.fold_constants import FoldConstants
from fewstep_export.session import tensors


class _Squeezes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, 1) -> (B, 3): the first does nothing."""
        return (x.squeeze(1) * 2).squeeze(2) + 1


def test_only_what_squeezes_something_is_left(raw_export: Callable[..., onnx.ModelProto]) -> None:
    x = torch.arange(6.0).reshape(2, 3, 1)
    model = FoldConstants()(ir.serde.deserialize_model(raw_export(_Squeezes(), x))).model
    assert [node.op_type for node in model.graph].count("Squeeze") == 2
    after = ir.serde.serialize_model(DropVoidSqueezes()(model).model)
    onnx.checker.check_model(after, full_check=True)
    assert [node.op_type for node in after.graph.node].count("Squeeze") == 1
    assert not DropVoidSqueezes()(model).modified
    (name,) = [value.name for value in after.graph.output]
    np.testing.assert_array_equal(tensors(after, {"x": x.numpy()})[name], _Squeezes()(x).numpy())

"""Graphs of opset 23, where attention and RMS norms are nodes of their own."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.package import read_package
from fewstep_export.onnx_export import quiet
from fewstep_export.package_config import MinimumTarget
from fewstep_export.session import runner


class _Block(nn.Module):
    """Attention of tokens behind an RMS norm, and a group norm of them as a map."""

    def __init__(self, scale: float | None) -> None:
        super().__init__()
        self.scale = scale
        self.norm, self.groups = nn.RMSNorm(16), nn.GroupNorm(4, 16)
        self.to_qkv = nn.Linear(16, 48)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.groups.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, 9, 16) and what is added to the scores (B, 1, 9, 9)."""
        q, k, v = self.to_qkv(self.norm(x)).reshape(1, 9, 3, 2, 8).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=self.scale)
        grid = (x + mixed.transpose(1, 2).reshape(1, 9, 16)).transpose(1, 2).reshape(1, 16, 3, 3)
        normed: Tensor = self.groups(grid)
        return normed.reshape(1, 16, 9).transpose(1, 2)


@pytest.mark.parametrize(("target", "scale"), [("iOS17", 0.5), ("iOS18", None), ("iOS18", 0.5)])
def test_a_block_of_opset_23(target: MinimumTarget, scale: float | None, tmp_path: Path) -> None:
    torch.manual_seed(0)
    block, x = _Block(scale).eval(), torch.randn(1, 9, 16)
    mask = torch.zeros(1, 1, 9, 9)
    mask[..., 7:] = -1e4
    with quiet():
        program = torch.onnx.export(
            block,
            (x, mask),
            dynamo=True,
            opset_version=23,
            input_names=["x", "mask"],
            output_names=["y"],
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    assert {"Attention", "RMSNormalization", "GroupNormalization"} <= {n.op_type for n in model.graph.node}
    path = tmp_path / "block.mlpackage"
    convert(model, path, ConvertConfig(target))
    operators = Counter(operation.operator for operation in read_package(path).operations)
    assert operators["scaled_dot_product_attention"] == (target == "iOS18")
    feeds = {"x": x.numpy(), "mask": mask.numpy()}
    right = block(x, mask).detach().numpy()
    for found in (Evaluator(path)(feeds)["y"], runner(model)(feeds)["y"]):
        np.testing.assert_allclose(found, right, atol=1e-5)

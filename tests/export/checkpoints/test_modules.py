from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_export.checkpoints.modules import export_module
from fewstep_export.session import runner


class TwoOutputs(nn.Module):
    """(B, 3), (B,) -> (B, 4), (B, 3)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 4)

    def forward(self, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        return self.linear(x) * scale[:, None], x + 1


def example(batch: int) -> dict[str, Tensor]:
    return {"x": torch.randn(batch, 3), "scale": torch.rand(batch)}


def test_the_graph_is_the_module_at_every_batch(tmp_path: Path) -> None:
    module, path = TwoOutputs().eval(), tmp_path / "module.onnx"
    found = export_module(module, [example(2), example(1)], path, outputs=("y", "z"))
    assert found.max_abs_error <= found.tolerance
    feeds = example(5)
    outputs = runner(path)({name: value.numpy() for name, value in feeds.items()})
    for name, value in zip(("y", "z"), module(**feeds), strict=True):
        np.testing.assert_allclose(outputs[name], value.detach().numpy(), atol=1e-6)
    assert [value.name for value in onnx.load(path).graph.input] == ["x", "scale"]


def test_examples_that_hide_the_batch_are_refused(tmp_path: Path) -> None:
    module, path = TwoOutputs(), tmp_path / "module.onnx"
    with pytest.raises(FewstepError, match="one batch of at least 2 in all inputs"):
        export_module(module, [example(1)], path)
    with pytest.raises(FewstepError, match="one batch of at least 2 in all inputs"):
        export_module(module, [{"x": torch.ones(2, 3), "scale": torch.ones(3)}], path)
    with pytest.raises(FewstepError, match="expected the inputs x, scale in every example, found x"):
        export_module(module, [example(2), {"x": torch.ones(2, 3)}], path)
    with pytest.raises(FewstepError, match="at least one example"):
        export_module(module, [], path)
    assert not path.exists()

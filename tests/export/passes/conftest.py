"""What every pass must hold: the same numbers, the same graph after saving and loading, and nothing left to do."""

import logging
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from fewstep_export.components import Feeds
from fewstep_export.onnx_export import check, to_bytes
from fewstep_export.session import tensors


class PassTester:
    """Applies a pass to a graph and checks what every pass must hold."""

    def __call__(
        self, transform: ir.passes.InPlacePass, model: onnx.ModelProto, feeds: Feeds, atol: float = 0.0
    ) -> onnx.ModelProto:
        """The graph after the pass; its outputs are those before it, within atol."""
        result = transform(ir.serde.deserialize_model(model))
        after = ir.serde.serialize_model(result.model)
        check(after)
        assert not transform(result.model).modified
        assert to_bytes(ir.serde.serialize_model(result.model)) == to_bytes(after)
        reloaded = ir.serde.deserialize_model(onnx.load_model_from_string(to_bytes(after)))
        assert to_bytes(ir.serde.serialize_model(reloaded)) == to_bytes(after)
        for name in (value.name for value in model.graph.output):
            np.testing.assert_allclose(
                tensors(after, feeds)[name], tensors(model, feeds)[name], rtol=0, atol=atol
            )
        return after


@pytest.fixture
def apply() -> PassTester:
    """Applies a pass and checks what every pass must hold."""
    return PassTester()


def export_raw(module: torch.nn.Module, *inputs: torch.Tensor) -> onnx.ModelProto:
    """The graph as the exporter gives it, with a free batch."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = tuple({0: torch.export.Dim("batch")} for _ in inputs)
        program = torch.onnx.export(
            module.eval(),
            inputs,
            dynamo=True,
            opset_version=20,
            dynamic_shapes=shapes,
            optimize=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@pytest.fixture
def raw_export() -> Callable[..., onnx.ModelProto]:
    """`export_raw`."""
    return export_raw


class Sample(torch.nn.Module):
    """Something for every pass: a convolution without bias, reshapes by the batch, an expansion, constants to fold."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(4, 8, 1, bias=False)
        self.linear = torch.nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 4, 4, 4) -> (B, 8, 16)."""
        y = self.conv(x).reshape(x.shape[0], 8, 16)
        y = self.linear(y) * torch.arange(16).exp().reciprocal()
        y = y.reshape(x.shape[0], 8, 1, 16).expand(x.shape[0], 8, 2, 16).sum(2)
        result: torch.Tensor = y / (1 + y.abs())
        return result


@pytest.fixture(scope="session")
def sample() -> tuple[onnx.ModelProto, Feeds]:
    """The sample as exported, and an input."""
    x = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    return export_raw(Sample(), x), {"x": x.numpy()}

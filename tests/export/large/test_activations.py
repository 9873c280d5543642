import numpy as np
import torch
from torch import Tensor, nn

from fewstep_export.components import Component
from fewstep_export.large.activations import imagine
from fewstep_export.large.trace import give_shapes


class Layers(nn.Module):
    """Two layers; their weights would take 80 GB."""

    def __init__(self) -> None:
        super().__init__()
        with torch.device("meta"):
            self.up, self.down = nn.Linear(10, 10**9, bias=False), nn.Linear(10**9, 10, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        wide = self.up(x)
        return self.down(wide.relu()), x + 1


class Attention(nn.Module):
    """Attention of every input with every other."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x)


def test_what_is_alive_at_once_is_counted_and_nothing_computed() -> None:
    module = Layers().eval()
    give_shapes(module, "layers")
    found = imagine(Component("layers", module, ("x",), ("y", "z")), {"x": np.ones((2, 10), np.float32)})
    assert found.shapes == {"y": (2, 10), "z": (2, 10)}
    wide = 2 * 10**9 * 4
    assert found.torch == found.graph
    assert abs(found.torch - 2 * wide) < 1000  # before and after the ReLU; what was freed does not count


def test_a_graph_keeps_the_scores_of_attention() -> None:
    x = np.ones((1, 3, 64, 8), np.float32)
    found = imagine(Component("attention", Attention(), ("x",), ("y",)), {"x": x})
    assert found.graph - found.torch == 2 * 3 * 64 * 64 * 4

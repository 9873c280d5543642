"""LinFusion's attention against the formulas of the paper."""

import torch
from torch.nn import functional as F

from fewstep_models.kernel_attention import elu_plus_one
from fewstep_models.linfusion import GeneralisedLinearAttention, ProjectionMLP

from .conftest import randomise


def test_attention_is_normalised_by_the_mean_key() -> None:
    layer = randomise(GeneralisedLinearAttention(8, head_channels=4))
    x = torch.randn(1, 8, 2, 3)
    q = elu_plus_one(layer.to_q(layer.project_q(x))).reshape(2, 4, 6)
    k = elu_plus_one(layer.to_k(layer.project_k(x))).reshape(2, 4, 6)
    v = layer.to_v(x).reshape(2, 4, 6)
    weights = q.transpose(-1, -2) @ k / 6
    out = (weights @ v.transpose(-1, -2)) / (weights.sum(-1, keepdim=True) + 1e-4)
    expected = layer.to_out(out.transpose(-1, -2).reshape(1, 8, 2, 3))
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_projection_is_a_residual_mlp_that_starts_as_the_identity() -> None:
    x = torch.randn(2, 16, 3, 3)
    fresh = ProjectionMLP(16, 8)
    torch.testing.assert_close(fresh(x), x, atol=0, rtol=0)
    mlp = randomise(ProjectionMLP(16, 8))
    hidden = mlp.down(x).movedim(1, -1)
    hidden = F.leaky_relu(F.layer_norm(hidden, (8,), mlp.norm_weight, mlp.norm_bias)).movedim(-1, 1)
    torch.testing.assert_close(mlp(x), x + mlp.up(hidden), atol=1e-5, rtol=1e-5)

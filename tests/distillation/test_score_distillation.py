"""Score distillation: the gradient, its scale, and the identities between its forms."""

import torch

from fewstep_distillation.flow import clean, maps, noised
from fewstep_distillation.score_distillation import (
    gradient_loss,
    score_distillation_gradient,
    score_distillation_weight,
)

GENERATOR = torch.Generator().manual_seed(0)
X0, N, U = torch.randn(3, 4, 2, 3, 3, generator=GENERATOR, dtype=torch.float64)
SIGMA = torch.tensor([0.05, 0.3, 0.6, 0.98], dtype=torch.float64)


def test_gradient_of_the_loss_is_the_given_one_over_the_batch() -> None:
    x = X0.clone().requires_grad_()
    gradient_loss(x, U).backward()
    torch.testing.assert_close(x.grad, U / len(x), atol=1e-15, rtol=0)


def test_difference_of_noises_is_a_difference_of_pictures() -> None:
    """``eps^ - eps = (alpha / sigma) (x0 - x^)``."""
    x = noised(X0, N, SIGMA)
    difference = score_distillation_gradient(x, U, N, SIGMA, torch.ones_like(SIGMA))
    expected = maps((1 - SIGMA) / SIGMA) * (X0 - clean(x, U, SIGMA))
    torch.testing.assert_close(difference, expected, atol=1e-12, rtol=0)


def test_a_network_that_knows_the_noise_gives_no_gradient() -> None:
    gradient = score_distillation_gradient(noised(X0, N, SIGMA), N - X0, N, SIGMA, SIGMA)
    assert gradient.abs().max() < 1e-14


def test_weighted_distance_of_pictures_has_the_gradient_of_score_distillation() -> None:
    """The weighting "sds" of adversarial diffusion distillation (its equation 8)."""
    x0 = X0.clone().requires_grad_()
    x = noised(X0, N, SIGMA)
    distance = maps(score_distillation_weight(SIGMA)) * (x0 - clean(x, U, SIGMA)).square()
    distance.sum().backward()
    torch.testing.assert_close(
        x0.grad, score_distillation_gradient(x, U, N, SIGMA, weight=SIGMA), atol=1e-12, rtol=0
    )

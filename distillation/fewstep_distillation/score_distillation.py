"""Score distillation sampling (Poole et al. 2022, DreamFusion, arXiv:2209.14988): a teacher's score as a gradient on pictures."""

from torch import Tensor

from fewstep_distillation.flow import maps


def score_distillation_gradient(
    x: Tensor, velocity: Tensor, noise: Tensor, sigma: Tensor, weight: Tensor
) -> Tensor:
    """``w (eps^ - eps)`` (B, C, h, w).

    ``x`` are the noised latents, ``velocity`` is what a network says of them and ``eps^ = x + (1 - sigma) u`` its guess of the noise.
    """
    predicted = x + maps(1 - sigma) * velocity
    return maps(weight) * (predicted - noise)


def gradient_loss(x: Tensor, gradient: Tensor) -> Tensor:
    """A loss whose gradient in x (B, ...) is ``gradient / B``: ``|x - sg(x - g)|^2 / 2``, summed over a picture, averaged over the batch.

    A mean over all values instead would make the gradient smaller by C h w.
    """
    target = (x - gradient).detach()
    return (x - target).square().flatten(1).sum(1).mean() / 2


def score_distillation_weight(sigma: Tensor) -> Tensor:
    """``c(t)`` (B,) for which ``c |x0 - x^|^2``, with x^ held, has the gradient of SDS at its weight ``w = sigma``.

    ``eps^ - eps = (alpha / sigma) (x0 - x^)``, so the gradient ``2 c (x0 - x^)`` is ``w (eps^ - eps)`` at ``c = alpha w / (2 sigma)``
    (Sauer et al. 2023, eq. 8), here ``(1 - sigma) / 2``.
    """
    return (1 - sigma) / 2

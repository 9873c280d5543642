"""Features of pictures: gradients reach the latents, pictures move as asked, transparency is seen."""

import torch

from fewstep_distillation.mobilenet import MobileNetV2
from fewstep_distillation.picture_features import PictureFeatures, moved, stage_channels
from fewstep_models.checkpoint import Checkpoint

STILL = torch.tensor([[0.5, 0.5, 0.5]])  # the middle of what is drawn


def test_a_picture_stays_where_nothing_moves_it() -> None:
    picture = torch.rand(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved(picture, STILL), picture, atol=1e-5, rtol=0)


def test_a_picture_shifts_by_an_eighth_and_leaves_transparency_behind() -> None:
    picture = torch.rand(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    left = moved(picture, torch.tensor([[0.5, 1.0, 0.5]]))
    torch.testing.assert_close(left[..., :-2], picture[..., 2:], atol=1e-5, rtol=0)
    assert (left[..., -2:] == 0).all()


def test_features_lead_back_to_the_latents_and_know_the_background(checkpoint: Checkpoint) -> None:
    torch.manual_seed(0)
    network = MobileNetV2((0, 2)).eval().requires_grad_(False)
    seen = PictureFeatures(checkpoint.autoencoder.decoder, checkpoint.config.latent, network)
    latents = torch.randn(2, 4, 8, 8).requires_grad_()
    chances = torch.full((2, 5), 0.5)
    features = seen(latents, chances)
    assert [f.shape[1] for f in features] == stage_channels((0, 2)) == [16, 32]
    (gradient,) = torch.autograd.grad(features[-1].square().sum(), latents)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0
    white = torch.cat([chances[:, :3], torch.zeros(2, 2)], 1)
    assert not torch.allclose(seen(latents, white)[0], features[0], atol=1e-3)

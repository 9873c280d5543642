"""What a discriminator sees of latents in pixels: features of a classifier (Sauer et al. 2021, Projected GANs; 2023, ADD, arXiv:2311.17042)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_distillation.mobilenet import CHANNELS, MobileNetV2
from fewstep_distillation.pictures import composite
from fewstep_models.autoencoder import Decoder
from fewstep_models.checkpoint import Checkpoint, LatentStatistics

_SHIFT, _ZOOM = 0.125, 0.1


class PictureFeatures(nn.Module):
    """Denoiser latents (B, C, h, w) -> MobileNetV2's stages of their pictures, each shifted, zoomed and put on a background at random.

    Real and drawn pictures must go through it alike (Zhao et al. 2020, DiffAugment). Half of the backgrounds are white, the others grey:
    on white alone transparency would not be seen.
    """

    def __init__(self, decoder: Decoder, statistics: LatentStatistics, network: MobileNetV2) -> None:
        super().__init__()
        self.decoder, self.statistics, self.network = decoder, statistics, network

    def forward(self, latents: Tensor, chances: Tensor) -> list[Tensor]:
        """``chances`` (B, 5) are uniform in [0, 1); gradients pass to the latents."""
        picture = self.decoder(self.statistics.restore(latents)).float().clamp(0, 1)
        white, grey = chances[:, 3] < 0.5, chances[:, 4]
        background = torch.where(white, 1.0, grey)[:, None, None, None]
        features: list[Tensor] = self.network(composite(moved(picture, chances[:, :3]), background))
        return features


class Seen:
    """The features of the pictures of clean latents, for a discriminator that sees these ``stages``; none where there are no stages."""

    def __init__(self, stages: Sequence[int], checkpoint: Checkpoint) -> None:
        self.stages, self.checkpoint = stages, checkpoint
        self.network: nn.Module | None = None

    def prepare(self, device: torch.device, compiled: bool) -> None:
        """Fetch and move the classifier, if there is anything to see."""
        if self.stages:
            network = MobileNetV2.from_pretrained(self.stages)
            decoder, statistics = self.checkpoint.autoencoder.decoder, self.checkpoint.config.latent
            self.network = PictureFeatures(decoder, statistics, network).to(device)
            if compiled:
                self.network.compile(dynamic=False)

    def __call__(self, latents: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Features (B, C, h, w) of each stage for denoiser latents (B, C, h, w)."""
        if self.network is None:
            return []
        chances = torch.rand(len(latents), 5, generator=generator, device=latents.device)
        features: list[Tensor] = self.network(latents, chances)
        return features


def moved(picture: Tensor, chances: Tensor) -> Tensor:
    """Premultiplied RGBA (B, 4, H, W), zoomed by up to a tenth and shifted by up to an eighth of its side as ``chances`` (B, 3) say."""
    zoom = 1 + _ZOOM * (2 * chances[:, 0] - 1)
    shift = 2 * _SHIFT * (2 * chances[:, 1:] - 1)
    affine = torch.cat([torch.diag_embed(torch.stack([zoom, zoom], 1)), shift[..., None]], 2)
    grid = F.affine_grid(affine, list(picture.shape), align_corners=False)
    return F.grid_sample(picture, grid, align_corners=False)


def stage_channels(stages: Sequence[int]) -> list[int]:
    """Channels of the features of these stages."""
    return [CHANNELS[stage] for stage in stages]

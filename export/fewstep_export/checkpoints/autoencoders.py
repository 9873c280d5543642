"""Autoencoders of diffusers: the KL-VAE of Stable Diffusion, DC-AE and the tiny one (TAESD)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep.manifest import Image, Latent
from fewstep_export.checkpoints.folder import Folder
from fewstep_export.components import Component

_LEVELS: Mapping[str, str] = {
    "AutoencoderKL": "block_out_channels",
    "AutoencoderDC": "encoder_block_out_channels",
    "AutoencoderTiny": "decoder_block_out_channels",
}
"""The field with one entry a resolution; there is a factor of 2 between neighbours."""


class RgbDecoder(nn.Module):
    """latents (B, C, h, w), un-normalised -> image (B, 3, H, W) in [0, 1]."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latents: Tensor) -> Tensor:
        (image,) = self.autoencoder.decode(latents, return_dict=False)
        return (image * 0.5 + 0.5).clamp(0.0, 1.0)


@dataclass(frozen=True)
class Autoencoder:
    """The facts of a pipeline's autoencoder.

    Attributes:
        channels: of the latents.
        factor: pixels a latent, along a side.
        config: its configuration.
    """

    channels: int
    factor: int
    config: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Folder) -> "Autoencoder":
        """The facts, without the weights.

        Raises:
            FewstepError: another kind of autoencoder.
        """
        config, name = folder.config("vae"), folder.class_name("vae")
        if name not in _LEVELS:
            raise FewstepError(
                f"expected one of the autoencoders {', '.join(_LEVELS)}, found {name}, in {folder.path / 'vae'}; decode with "
                "another autoencoder"
            )
        return cls(int(config["latent_channels"]), 2 ** (len(config[_LEVELS[name]]) - 1), config)

    def component(self, folder: Folder) -> Component:
        """The decoder with its weights."""
        return Component("decoder", RgbDecoder(folder.module("vae")).eval(), ("latents",), ("image",))

    def latent(self, side: int, factor: float = 1.0) -> Latent:
        """Square latents and their normalisation z_n = (z - shift) scale, one value a channel; `factor` multiplies the scale."""
        factor *= float(self.config.get("scaling_factor", 1.0))
        mean, std = self.config.get("latents_mean"), self.config.get("latents_std")
        if mean is not None and std is not None:
            scale, shift = tuple(factor / float(s) for s in std), tuple(map(float, mean))
        else:
            scale = (factor,) * self.channels
            shift = (float(self.config.get("shift_factor") or 0.0),) * self.channels
        return Latent((self.channels, side, side), scale, shift)

    def image(self, side: int) -> Image:
        """The picture of square latents."""
        return Image(side * self.factor, "RGB", "none")

    def side(self, size: int | None, default: int, multiple: int = 1, largest: int | None = None) -> int:
        """The side of the latents of a picture.

        Args:
            size: of the picture in pixels, or None for the default.
            default: side of the latents that the denoiser was trained for.
            multiple: what the side must be a multiple of.
            largest: side of the latents for which the denoiser has positions, or None where any will do.

        Raises:
            FewstepError: no latents give a picture of that size, or it is too large for the denoiser.
        """
        size = default * self.factor if size is None else size
        if largest is not None and size > largest * self.factor:
            raise FewstepError(
                f"expected a size of at most {largest * self.factor}, for which the denoiser has positions, found {size}; change --size"
            )
        if size < 1 or size % (self.factor * multiple):
            raise FewstepError(
                f"expected a size that is a multiple of {self.factor * multiple}, found {size}; change --size"
            )
        return size // self.factor

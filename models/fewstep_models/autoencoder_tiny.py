"""TAESD, an autoencoder of plain convolutions in the latent space of another one (Bohan 2023, github.com/madebyollin/taesd)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_models.diffusers_weights import load_renamed


@dataclass(frozen=True)
class AutoencoderTinyConfig:
    """Sizes of an :class:`AutoencoderTiny`: all levels have ``width`` channels; ``blocks`` go from the picture to the latents."""

    image_channels: int = 3
    latent_channels: int = 4
    width: int = 64
    encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
    decoder_blocks: tuple[int, ...] = (1, 3, 3, 3)

    def __post_init__(self) -> None:
        """Accept lists (JSON, TOML) and refuse levels that do not fit each other."""
        for name in ("encoder_blocks", "decoder_blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.encoder_blocks) != len(self.decoder_blocks):
            raise ValueError(
                "AutoencoderTinyConfig: encoder_blocks and decoder_blocks must have one entry a level, "
                f"found {len(self.encoder_blocks)} and {len(self.decoder_blocks)}"
            )

    @property
    def downsampling(self) -> int:
        """Image pixels per latent position, along one side."""
        return 2 ** (len(self.encoder_blocks) - 1)

    def build(self) -> "AutoencoderTiny":
        """The network, with random weights."""
        return AutoencoderTiny(self)

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any]) -> "AutoencoderTinyConfig":
        """The sizes in the ``config.json`` of diffusers' ``AutoencoderTiny``.

        Raises:
            FewstepError: its levels differ in width, or it is not of ReLU and nearest neighbours.
        """
        widths = {*config["encoder_block_out_channels"], *config["decoder_block_out_channels"]}
        found = {**{key: config.get(key, value) for key, value in _PLAIN.items()}, "widths": len(widths)}
        for key, value in {**_PLAIN, "widths": 1}.items():
            if found[key] != value:
                raise FewstepError(
                    f"expected a TAESD with {key} {value}, found {found[key]}; such a model cannot be loaded here"
                )
        return cls(
            image_channels=config["in_channels"],
            latent_channels=config["latent_channels"],
            width=widths.pop(),
            encoder_blocks=config["num_encoder_blocks"],
            decoder_blocks=tuple(config["num_decoder_blocks"])[::-1],
        )


_PLAIN: Mapping[str, object] = {
    "act_fn": "relu",
    "upsample_fn": "nearest",
    "upsampling_scaling_factor": 2,
}


class Block(nn.Module):
    """``ReLU(x + conv(ReLU(conv(ReLU(conv(x))))))``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_1, self.conv_2, self.conv_3 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv_3(F.relu(self.conv_2(F.relu(self.conv_1(x))))))


class AutoencoderTiny(nn.Module):
    """RGB pictures (B, 3, H, W) in [0, 1] <-> latents (B, C, H/f, W/f) as the denoiser has them: they need no normalisation."""

    def __init__(self, config: AutoencoderTinyConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        encoder: list[nn.Module] = [nn.Conv2d(config.image_channels, width, 3, padding=1)]
        for i, blocks in enumerate(config.encoder_blocks):
            if i:
                encoder.append(nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False))
            encoder += [Block(width) for _ in range(blocks)]
        self.encoder = nn.Sequential(*encoder, nn.Conv2d(width, config.latent_channels, 3, padding=1))
        decoder: list[nn.Module] = [nn.Conv2d(config.latent_channels, width, 3, padding=1), nn.ReLU()]
        for i, blocks in reversed(list(enumerate(config.decoder_blocks))):
            decoder += [Block(width) for _ in range(blocks)]
            if i:
                decoder += [nn.Upsample(scale_factor=2.0), nn.Conv2d(width, width, 3, padding=1, bias=False)]
        self.decoder = nn.Sequential(*decoder, nn.Conv2d(width, config.image_channels, 3, padding=1))

    def encode(self, image: Tensor) -> Tensor:
        """Latents of pictures."""
        latents: Tensor = self.encoder(image)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures of latents, of which values beyond 3 count as 3, clamped to [0, 1]."""
        image: Tensor = self.decoder(torch.tanh(latents / 3) * 3)
        return image.clamp(0.0, 1.0)

    def load_diffusers(self, state: Mapping[str, Tensor]) -> None:
        """Load diffusers' ``AutoencoderTiny``.

        Raises:
            FewstepError: a weight does not fit.
        """
        load_renamed(self, state, _RULES)


_RULES = (
    (r"^(encoder|decoder)\.layers\.", r"\1."),
    (r"\.conv\.0\.", ".conv_1."),
    (r"\.conv\.2\.", ".conv_2."),
    (r"\.conv\.4\.", ".conv_3."),
)

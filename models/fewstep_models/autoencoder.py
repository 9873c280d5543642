"""A small deep-compression autoencoder for transparent pictures (DC-AE, Chen et al. 2024, arXiv:2410.10733).

Every down- and up-sampling convolution has a parameter-free shortcut (space-to-channel with channel averaging, channel-to-space with
repetition), so that the convolutions only learn what the shortcut misses.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_models.layers import ChannelRMSNorm, LinearAttention, MixFFN


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of an :class:`Autoencoder`; stage i works at resolution ``image_size / 2^i`` with ``widths[i]`` channels.

    The decoder has ``decoder_widths`` where they are given.
    """

    image_channels: int = 4
    latent_channels: int = 8
    widths: tuple[int, ...] = (32, 64, 128, 128)
    encoder_blocks: tuple[int, ...] = (1, 2, 1, 1)
    decoder_blocks: tuple[int, ...] = (2, 2, 1, 1)
    head_channels: int = 32
    decoder_widths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Accept lists (JSON, TOML) and refuse stages that do not fit each other."""
        for name in ("widths", "encoder_blocks", "decoder_blocks", "decoder_widths"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not len(self.widths) == len(self.encoder_blocks) == len(self.decoder_blocks):
            raise ValueError(
                "AutoencoderConfig: widths, encoder_blocks and decoder_blocks must have one entry a stage, "
                f"found {len(self.widths)}, {len(self.encoder_blocks)}, {len(self.decoder_blocks)}"
            )
        if len(self.decoder_widths) not in (0, len(self.widths)):
            raise ValueError(
                f"AutoencoderConfig: decoder_widths must be empty or have {len(self.widths)} entries, found {self.decoder_widths}"
            )

    @property
    def downsampling(self) -> int:
        """Image pixels per latent position, along one side."""
        return 2 ** (len(self.widths) - 1)


def channel_mean(x: Tensor, channels: int) -> Tensor:
    """(B, C, H, W) -> (B, channels, H, W): the mean of each run of C / channels consecutive channels."""
    b, c, h, w = x.shape
    return x.reshape(b, channels, c // channels, h * w).mean(2).reshape(b, channels, h, w)


def channel_repeat(x: Tensor, channels: int) -> Tensor:
    """(B, C, H, W) -> (B, channels, H, W): each channel repeated channels / C times in place."""
    b, c, h, w = x.shape
    return x.reshape(b, c, 1, h * w).expand(b, c, channels // c, h * w).reshape(b, channels, h, w)


class ResBlock(nn.Module):
    """``x + RMSNorm(conv3x3(SiLU(conv3x3(x))))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = ChannelRMSNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv2(F.silu(self.conv1(x))))


class EfficientViTBlock(nn.Module):
    """``x += RMSNorm(LinAttn(x)); x += RMSNorm(MixFFN(x))``: global context at the coarsest stage."""

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        self.attention = LinearAttention(channels, head_channels)
        self.norm_attention = ChannelRMSNorm(channels)
        self.ffn = MixFFN(channels, ratio=2.0)
        self.norm_ffn = ChannelRMSNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.norm_attention(self.attention(x))
        return x + self.norm_ffn(self.ffn(x))


class Downsample(nn.Module):
    """conv3x3 of stride 2 plus the shortcut ``channel_mean(space_to_depth(x))``."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.channels_out = channels_out
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + channel_mean(F.pixel_unshuffle(x, 2), self.channels_out)


class Upsample(nn.Module):
    """Nearest x2 and conv3x3 plus the shortcut ``depth_to_space(channel_repeat(x))``."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.channels_out = channels_out
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        upsampled = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return upsampled + F.pixel_shuffle(channel_repeat(x, 4 * self.channels_out), 2)


class Encoder(nn.Module):
    """image (B, 4, H, W) in [0, 1] -> latents (B, C, H/f, W/f)."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths, self.latent_channels = config.widths, config.latent_channels
        self.conv_in = nn.Conv2d(config.image_channels, widths[0], 3, padding=1)
        layers: list[nn.Module] = []
        for i, (width, blocks) in enumerate(zip(widths, config.encoder_blocks, strict=True)):
            if i:
                layers.append(Downsample(widths[i - 1], width))
            layers += [ResBlock(width) for _ in range(blocks)]
        layers.append(EfficientViTBlock(widths[-1], config.head_channels))
        self.layers = nn.Sequential(*layers)
        self.conv_out = nn.Conv2d(widths[-1], config.latent_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.layers(self.conv_in(image * 2 - 1))
        return self.conv_out(x) + channel_mean(x, self.latent_channels)


class Decoder(nn.Module):
    """latents (B, C, h, w) -> image (B, 4, f h, f w), not yet clamped to [0, 1]."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = config.decoder_widths or config.widths
        self.width = widths[-1]
        self.conv_in = nn.Conv2d(config.latent_channels, self.width, 3, padding=1)
        layers: list[nn.Module] = [EfficientViTBlock(self.width, config.head_channels)]
        for i in reversed(range(len(widths))):
            layers += [ResBlock(widths[i]) for _ in range(config.decoder_blocks[i])]
            if i:
                layers.append(Upsample(widths[i], widths[i - 1]))
        self.layers = nn.Sequential(*layers)
        self.norm_out = ChannelRMSNorm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], config.image_channels, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.layers(self.conv_in(latents) + channel_repeat(latents, self.width))
        return self.conv_out(F.relu(self.norm_out(x))) * 0.5 + 0.5


class Autoencoder(nn.Module):
    """RGBA pictures (B, 4, H, W), premultiplied alpha, in [0, 1] <-> latents (B, C, H/f, W/f)."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, image: Tensor) -> Tensor:
        """Latents of pictures, not normalised."""
        latents: Tensor = self.encoder(image)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures of un-normalised latents, clamped to [0, 1]."""
        image: Tensor = self.decoder(latents)
        return image.clamp(0.0, 1.0)

"""The KL-regularised autoencoder of Stable Diffusion (Esser et al. 2021, arXiv:2012.09841; Rombach et al. 2022, arXiv:2112.10752)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_models.attention import SelfAttention
from fewstep_models.diffusers_weights import fused, load_renamed
from fewstep_models.layers import GroupNorm

_EPS = 1e-6


@dataclass(frozen=True)
class AutoencoderKLConfig:
    """Sizes of an :class:`AutoencoderKL`; level i works at resolution ``image_size / 2^i`` with ``widths[i]`` channels.

    ``blocks`` is the number of residual blocks of a level of the encoder, the decoder has one more; ``quantised`` says that the latents
    pass a 1x1 convolution on both sides, which the autoencoders of SD3 and FLUX have not.
    """

    image_channels: int = 3
    latent_channels: int = 4
    widths: tuple[int, ...] = (128, 256, 512, 512)
    blocks: int = 2
    groups: int = 32
    attention: bool = True
    quantised: bool = True

    def __post_init__(self) -> None:
        """Accept lists (JSON, TOML) and refuse widths that do not fall into groups."""
        object.__setattr__(self, "widths", tuple(self.widths))
        for width in self.widths:
            if width % self.groups:
                raise ValueError(
                    f"AutoencoderKLConfig.widths ({width}) must be multiples of groups ({self.groups})"
                )

    @property
    def downsampling(self) -> int:
        """Image pixels per latent position, along one side."""
        return 2 ** (len(self.widths) - 1)

    def build(self) -> "AutoencoderKL":
        """The network, with random weights."""
        return AutoencoderKL(self)

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any]) -> "AutoencoderKLConfig":
        """The sizes in the ``config.json`` of diffusers' ``AutoencoderKL``.

        Raises:
            FewstepError: a level is of a kind that this network has not.
        """
        kinds = {"DownEncoderBlock2D", "UpDecoderBlock2D"}
        other = sorted({*config["down_block_types"], *config["up_block_types"]} - kinds)
        if other:
            raise FewstepError(
                f"expected an autoencoder of {' and '.join(sorted(kinds))}, found {other[0]}; such a model cannot be loaded here"
            )
        return cls(
            image_channels=config["in_channels"],
            latent_channels=config["latent_channels"],
            widths=config["block_out_channels"],
            blocks=config["layers_per_block"],
            groups=config["norm_num_groups"],
            attention=config.get("mid_block_add_attention", True),
            quantised=config.get("use_quant_conv", True),
        )


class ResBlock(nn.Module):
    """``shortcut(x) + conv2(SiLU(GN(conv1(SiLU(GN(x))))))``."""

    def __init__(self, channels: int, width: int, groups: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, channels, _EPS)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.norm2 = GroupNorm(groups, width, _EPS)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels, width, 1) if channels != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        return self.conv_shortcut(x) + self.conv2(F.silu(self.norm2(hidden)))


class AttentionBlock(nn.Module):
    """``x + Attn(GN(x))`` with one head."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, channels, _EPS)
        self.attention = SelfAttention(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(self.norm(x))


class Downsample(nn.Module):
    """3x3 convolution of stride 2, padded on the right and at the bottom."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest x2 and a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Residual blocks, and the change of resolution where there is one."""

    def __init__(self, channels: int, width: int, blocks: int, groups: int, resample: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(ResBlock(width if i else channels, width, groups) for i in range(blocks))
        )
        self.resample = resample

    def forward(self, x: Tensor) -> Tensor:
        return self.resample(self.blocks(x))


def _middle(config: AutoencoderKLConfig) -> nn.Sequential:
    width, groups = config.widths[-1], config.groups
    attention = AttentionBlock(width, groups) if config.attention else nn.Identity()
    return nn.Sequential(ResBlock(width, width, groups), attention, ResBlock(width, width, groups))


class Encoder(nn.Module):
    """image (B, 3, H, W) in [-1, 1] -> mean and logarithm of the variance of the latents (B, 2 C, H/f, W/f)."""

    def __init__(self, config: AutoencoderKLConfig) -> None:
        super().__init__()
        widths = config.widths
        self.conv_in = nn.Conv2d(config.image_channels, widths[0], 3, padding=1)
        self.levels = nn.Sequential()
        for before, width, i in zip((widths[0], *widths), widths, range(len(widths)), strict=False):
            resample = Downsample(width) if i + 1 < len(widths) else nn.Identity()
            self.levels.append(Level(before, width, config.blocks, config.groups, resample))
        self.middle = _middle(config)
        self.norm_out = GroupNorm(config.groups, widths[-1], _EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv_out(F.silu(self.norm_out(self.middle(self.levels(self.conv_in(image))))))


class Decoder(nn.Module):
    """latents (B, C, h, w) -> image (B, 3, f h, f w) in about [-1, 1]."""

    def __init__(self, config: AutoencoderKLConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.middle = _middle(config)
        self.levels = nn.Sequential()
        for before, width, i in zip((widths[0], *widths), widths, range(len(widths)), strict=False):
            resample = Upsample(width) if i + 1 < len(widths) else nn.Identity()
            self.levels.append(Level(before, width, config.blocks + 1, config.groups, resample))
        self.norm_out = GroupNorm(config.groups, widths[-1], _EPS)
        self.conv_out = nn.Conv2d(widths[-1], config.image_channels, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        return self.conv_out(F.silu(self.norm_out(self.levels(self.middle(self.conv_in(latents))))))


class AutoencoderKL(nn.Module):
    """RGB pictures (B, 3, H, W) in [0, 1] <-> latents (B, C, H/f, W/f), not normalised."""

    def __init__(self, config: AutoencoderKLConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.latent_channels
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(2 * channels, 2 * channels, 1) if config.quantised else nn.Identity()
        self.post_quant_conv = nn.Conv2d(channels, channels, 1) if config.quantised else nn.Identity()

    def encode(self, image: Tensor) -> Tensor:
        """The mean of the latents of pictures."""
        mean, _ = self.quant_conv(self.encoder(image * 2 - 1)).chunk(2, dim=1)
        return mean

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures of latents, clamped to [0, 1]."""
        image: Tensor = self.decoder(self.post_quant_conv(latents))
        return (image * 0.5 + 0.5).clamp(0.0, 1.0)

    def load_diffusers(self, state: Mapping[str, Tensor]) -> None:
        """Load diffusers' ``AutoencoderKL``.

        Raises:
            FewstepError: a weight does not fit.
        """
        load_renamed(self, state, _RULES)


_RULES = (
    (r"\.(?:down|up)_blocks\.", ".levels."),
    (r"\.(?:down|up)samplers\.0\.", ".resample."),
    (r"\.mid_block\.resnets\.0\.", ".middle.0."),
    (r"\.mid_block\.resnets\.1\.", ".middle.2."),
    *fused(r"\.mid_block\.attentions\.0", ".middle.1.attention.to_qkv"),
    (r"\.mid_block\.attentions\.0\.to_out\.0\.", ".middle.1.attention.to_out."),
    (r"\.mid_block\.attentions\.0\.group_norm\.", ".middle.1.norm."),
    (r"\.resnets\.", ".blocks."),
    (r"\.conv_norm_out\.", ".norm_out."),
)

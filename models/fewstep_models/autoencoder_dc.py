"""DC-AE, the deep-compression autoencoder of Sana (Chen et al. 2024, arXiv:2410.10733), as published; `autoencoder.py` is our small one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_models.autoencoder import ResBlock, channel_mean, channel_repeat
from fewstep_models.diffusers_weights import fused, load_renamed
from fewstep_models.layers import ChannelRMSNorm, MixFFN
from fewstep_models.multiscale_attention import MultiscaleLinearAttention

BlockKind = Literal["ResBlock", "EfficientViTBlock"]


@dataclass(frozen=True)
class Stage:
    """Blocks of one kind at one resolution; ``scales`` are the kernel sizes of the attention's further views of its tokens."""

    width: int
    blocks: int
    kind: BlockKind = "ResBlock"
    scales: tuple[int, ...] = ()


@dataclass(frozen=True)
class AutoencoderDCConfig:
    """Sizes of an :class:`AutoencoderDC`; stage i works at resolution ``image_size / 2^i``.

    ``fold`` says that the encoder folds space into channels behind a convolution, ``shuffle`` that the decoder does the inverse; otherwise
    a convolution of stride 2 and nearest neighbours change the resolution.
    """

    image_channels: int = 3
    latent_channels: int = 32
    encoder: tuple[Stage, ...] = field(default=())
    decoder: tuple[Stage, ...] = field(default=())
    head_channels: int = 32
    fold: bool = False
    shuffle: bool = False

    def __post_init__(self) -> None:
        """Refuse stages that do not fit each other."""
        if len(self.encoder) != len(self.decoder) or not self.encoder:
            raise ValueError(
                "AutoencoderDCConfig: encoder and decoder must have one stage a resolution, "
                f"found {len(self.encoder)} and {len(self.decoder)}"
            )

    @property
    def downsampling(self) -> int:
        """Image pixels per latent position, along one side."""
        return 2 ** (len(self.encoder) - 1)

    def build(self) -> "AutoencoderDC":
        """The network, with random weights."""
        return AutoencoderDC(self)

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any]) -> "AutoencoderDCConfig":
        """The sizes in the ``config.json`` of diffusers' ``AutoencoderDC``.

        Raises:
            FewstepError: it has norms, activations or stages without blocks that this network has not.
        """
        for key, value in _PLAIN.items():
            found = config.get(key, value)
            if found != value and {*found} != {value}:
                raise FewstepError(
                    f"expected a DC-AE with {key} {value}, found {found}; such a model cannot be loaded here"
                )
        return cls(
            image_channels=config["in_channels"],
            latent_channels=config["latent_channels"],
            encoder=_stages(config, "encoder"),
            decoder=_stages(config, "decoder"),
            head_channels=config["attention_head_dim"],
            fold=config["downsample_block_type"] == "pixel_unshuffle",
            shuffle=config["upsample_block_type"] == "pixel_shuffle",
        )


_PLAIN: Mapping[str, Any] = {
    "decoder_norm_types": "rms_norm",
    "decoder_act_fns": "silu",
    "decoder_conv_act_fn": "relu",
    "encoder_out_shortcut": True,
    "decoder_in_shortcut": True,
}


def _stages(config: Mapping[str, Any], half: str) -> tuple[Stage, ...]:
    widths, blocks = config[f"{half}_block_out_channels"], config[f"{half}_layers_per_block"]
    kinds, scales = config[f"{half}_block_types"], config[f"{half}_qkv_multiscales"]
    kinds = [kinds] * len(widths) if isinstance(kinds, str) else kinds
    if 0 in blocks:
        raise FewstepError(
            f"expected a DC-AE with blocks in every stage, found {half}_layers_per_block {list(blocks)}; such a model cannot be loaded here"
        )
    rows = zip(widths, blocks, kinds, scales, strict=True)
    return tuple(Stage(width, count, kind, tuple(scale)) for width, count, kind, scale in rows)


class EfficientViTBlock(nn.Module):
    """``x += RMSNorm(LinAttn(x)); x += RMSNorm(MixFFN(x))``."""

    def __init__(self, channels: int, head_channels: int, scales: Sequence[int]) -> None:
        super().__init__()
        self.attention = MultiscaleLinearAttention(channels, head_channels, scales)
        self.norm_attention = ChannelRMSNorm(channels)
        self.ffn = MixFFN(channels, ratio=4.0)
        self.norm_ffn = ChannelRMSNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.norm_attention(self.attention(x))
        return x + self.norm_ffn(self.ffn(x))


class Downsample(nn.Module):
    """A 3x3 convolution to a quarter of the positions, plus the shortcut ``channel_mean(space_to_depth(x))``."""

    def __init__(self, channels_in: int, channels_out: int, fold: bool) -> None:
        super().__init__()
        self.channels_out, self.fold = channels_out, fold
        width, stride = (channels_out // 4, 1) if fold else (channels_out, 2)
        self.conv = nn.Conv2d(channels_in, width, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        small = F.pixel_unshuffle(self.conv(x), 2) if self.fold else self.conv(x)
        return small + channel_mean(F.pixel_unshuffle(x, 2), self.channels_out)


class Upsample(nn.Module):
    """A 3x3 convolution to four times the positions, plus the shortcut ``depth_to_space(channel_repeat(x))``."""

    def __init__(self, channels_in: int, channels_out: int, shuffle: bool) -> None:
        super().__init__()
        self.channels_out, self.shuffle = channels_out, shuffle
        self.conv = nn.Conv2d(channels_in, channels_out * (4 if shuffle else 1), 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        nearest = x if self.shuffle else F.interpolate(x, scale_factor=2.0, mode="nearest")
        large = F.pixel_shuffle(self.conv(nearest), 2) if self.shuffle else self.conv(nearest)
        return large + F.pixel_shuffle(channel_repeat(x, 4 * self.channels_out), 2)


def _blocks(stage: Stage, head_channels: int) -> list[nn.Module]:
    if stage.kind == "ResBlock":
        return [ResBlock(stage.width) for _ in range(stage.blocks)]
    return [EfficientViTBlock(stage.width, head_channels, stage.scales) for _ in range(stage.blocks)]


class AutoencoderDC(nn.Module):
    """RGB pictures (B, 3, H, W) in [0, 1] <-> latents (B, C, H/f, W/f), not normalised."""

    def __init__(self, config: AutoencoderDCConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, image: Tensor) -> Tensor:
        """Latents of pictures."""
        latents: Tensor = self.encoder(image * 2 - 1)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures of latents, clamped to [0, 1]."""
        image: Tensor = self.decoder(latents)
        return (image * 0.5 + 0.5).clamp(0.0, 1.0)

    def load_diffusers(self, state: Mapping[str, Tensor]) -> None:
        """Load diffusers' ``AutoencoderDC``.

        Raises:
            FewstepError: a weight does not fit.
        """
        load_renamed(self, state, _RULES)


class Encoder(nn.Module):
    """image (B, 3, H, W) in [-1, 1] -> latents (B, C, H/f, W/f)."""

    def __init__(self, config: AutoencoderDCConfig) -> None:
        super().__init__()
        stages, self.latent_channels = config.encoder, config.latent_channels
        self.conv_in = nn.Conv2d(config.image_channels, stages[0].width, 3, padding=1)
        self.stages = nn.Sequential()
        for stage, following in zip(stages, (*stages[1:], None), strict=True):
            down = [Downsample(stage.width, following.width, config.fold)] if following else []
            self.stages.append(nn.Sequential(*_blocks(stage, config.head_channels), *down))
        self.conv_out = nn.Conv2d(stages[-1].width, config.latent_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stages(self.conv_in(image))
        return self.conv_out(x) + channel_mean(x, self.latent_channels)


class Decoder(nn.Module):
    """latents (B, C, h, w) -> image (B, 3, f h, f w) in about [-1, 1]; its stages stand in the encoder's order."""

    def __init__(self, config: AutoencoderDCConfig) -> None:
        super().__init__()
        stages = config.decoder
        self.width = stages[-1].width
        self.conv_in = nn.Conv2d(config.latent_channels, self.width, 3, padding=1)
        self.stages = nn.ModuleList()
        for stage, before in zip(stages, (*stages[1:], None), strict=True):
            up = [Upsample(before.width, stage.width, config.shuffle)] if before else []
            self.stages.append(nn.Sequential(*up, *_blocks(stage, config.head_channels)))
        self.norm_out = ChannelRMSNorm(stages[0].width)
        self.conv_out = nn.Conv2d(stages[0].width, config.image_channels, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.conv_in(latents) + channel_repeat(latents, self.width)
        for stage in reversed(self.stages):
            x = stage(x)
        return self.conv_out(F.relu(self.norm_out(x)))


_RULES = (
    (r"\.(?:down|up)_blocks\.", ".stages."),
    *fused("attn", "attention.to_qkv"),
    (r"\.attn\.to_qkv_multiscale\.", ".attention.views."),
    (r"\.attn\.to_out\.", ".attention.to_out."),
    (r"\.attn\.norm_out\.", ".norm_attention."),
    (r"\.conv_out\.norm\.", ".norm_ffn."),
    (r"\.conv_out\.(conv_\w+)\.", r".ffn.\1."),
)

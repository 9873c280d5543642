"""The U-Net of latent diffusion and Stable Diffusion (Rombach et al. 2021, arXiv:2112.10752), any kind of self-attention inside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_models.attention import KINDS, AttentionKind
from fewstep_models.diffusers_weights import Rules, fused, load_renamed
from fewstep_models.layers import GroupNorm, TimestepEmbedder, mask_bias, zero_
from fewstep_models.sizes import require_positive
from fewstep_models.unet_blocks import ResBlock, SpatialTransformer


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a :class:`UNetDenoiser`; tuples have one entry a resolution, the highest first.

    ``depths`` counts the transformer blocks behind each residual block (0: none), ``heads`` the attention heads, ``resnets`` the
    residual blocks a resolution. ``mid_depth`` is the depth at the bottom, -1 for a U-Net without a middle (BK-SDM). ``added_dim``
    is the width of a vector added to the time embedding (SDXL's sizes and pooled text). ``attention`` is the kind of self-attention;
    "linfusion" makes it LinFusion's U-Net.
    """

    type: str = field(default="unet", init=False)

    latent_channels: int = 8
    size: int = 16
    widths: tuple[int, ...] = (64, 128, 192)
    depths: tuple[int, ...] = (1, 1, 1)
    heads: tuple[int, ...] = (2, 4, 6)
    resnets: int = 1
    mid_depth: int = 1
    groups: int = 32
    text_dim: int = 384
    added_dim: int = 0
    attention: AttentionKind = "softmax"

    def __post_init__(self) -> None:
        """Refuse sizes that no model can have."""
        require_positive(self, "latent_channels", "size", "resnets", "groups", "text_dim")
        if not len(self.widths) == len(self.depths) == len(self.heads) > 0:
            raise ValueError(
                "UNetConfig.widths, depths and heads must have one entry a resolution, found "
                f"{len(self.widths)}, {len(self.depths)} and {len(self.heads)}"
            )
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width % heads or width % self.groups:
                raise ValueError(
                    f"UNetConfig.widths must be multiples of heads and groups, found {width}, {heads}, {self.groups}"
                )
        if self.size % 2 ** (len(self.widths) - 1):
            raise ValueError(f"UNetConfig.size ({self.size}) cannot be halved {len(self.widths) - 1} times")
        if self.attention not in KINDS:
            raise ValueError(
                f"UNetConfig.attention must be one of {', '.join(KINDS)}, found {self.attention!r}"
            )

    def build(self) -> "UNetDenoiser":
        """The network, with random weights."""
        return UNetDenoiser(self)

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any], attention: AttentionKind = "softmax") -> "UNetConfig":
        """The sizes in the ``config.json`` of a ``UNet2DConditionModel`` (SD 1.x and 2.x, SDXL, BK-SDM)."""
        widths = tuple(config["block_out_channels"])
        heads = (
            config.get("num_attention_heads") or config["attention_head_dim"]
        )  # diffusers' name for the number of heads
        layers = config.get("transformer_layers_per_block", 1)
        layers = (layers,) * len(widths) if isinstance(layers, int) else tuple(layers)
        crossed = ["CrossAttn" in kind for kind in config["down_block_types"]]
        return cls(
            latent_channels=config["in_channels"],
            size=config["sample_size"],
            widths=widths,
            depths=tuple(n if c else 0 for n, c in zip(layers, crossed, strict=True)),
            heads=(heads,) * len(widths) if isinstance(heads, int) else tuple(heads),
            resnets=config["layers_per_block"],
            mid_depth=layers[-1] if config.get("mid_block_type", "UNetMidBlock2DCrossAttn") else -1,
            groups=config["norm_num_groups"],
            text_dim=config["cross_attention_dim"],
            added_dim=config.get("projection_class_embeddings_input_dim") or 0,
            attention=attention,
        )


class Stage(nn.Module):
    """The blocks of one resolution: residual blocks, each followed by a spatial transformer where ``depth`` is not 0."""

    def __init__(self, config: UNetConfig, level: int, inputs: list[int], depth: int) -> None:
        """``inputs`` holds the channels that enter each residual block."""
        super().__init__()
        width, time = config.widths[level], 4 * config.widths[0]
        self.resnets = nn.ModuleList(ResBlock(c, width, time, config.groups) for c in inputs)
        self.attentions = nn.ModuleList(
            SpatialTransformer(
                width, config.heads[level], depth, config.text_dim, config.groups, config.attention
            )
            for _ in inputs
            if depth
        )

    def forward(self, i: int, x: Tensor, e: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        """The i-th residual block and its transformer."""
        x = self.resnets[i](x, e)
        return self.attentions[i](x, text, bias) if self.attentions else x


class Middle(nn.Module):
    """Residual block, transformer (where ``mid_depth`` is not 0), residual block."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        width, time, heads, depth = (
            config.widths[-1],
            4 * config.widths[0],
            config.heads[-1],
            config.mid_depth,
        )
        self.resnets = nn.ModuleList(ResBlock(width, width, time, config.groups) for _ in range(2))
        self.attentions = nn.ModuleList(
            SpatialTransformer(width, heads, depth, config.text_dim, config.groups, config.attention)
            for _ in range(min(depth, 1))
        )

    def forward(self, x: Tensor, e: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        x = self.resnets[0](x, e)
        for attention in self.attentions:
            x = attention(x, text, bias)
        return self.resnets[1](x, e)


class UNetDenoiser(nn.Module):
    """Network with the interface of :class:`fewstep_models.sana.SanaDenoiser`; what it predicts is for the sampler to know.

    latents (B, C, h, w), timestep (B,) in 0..1000, text_states (B, L, text_dim), text_mask (B, L), and, where the model has it, added
    (B, added_dim) -> (B, C, h, w).
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, levels = config.widths, len(config.widths)
        time = 4 * widths[0]
        self.time = TimestepEmbedder(widths[0], time)
        self.added_1 = nn.Linear(config.added_dim, time) if config.added_dim else None
        self.added_2 = nn.Linear(time, time) if config.added_dim else None
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        skips, x = [widths[0]], widths[0]
        self.down, self.downsample = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            inputs = [x] + [width] * (config.resnets - 1)
            self.down.append(Stage(config, level, inputs, config.depths[level]))
            skips += [width] * config.resnets
            x = width
            if level < levels - 1:
                self.downsample.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
        self.middle = Middle(config) if config.mid_depth >= 0 else None
        self.up, self.upsample = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(levels)):
            width = widths[level]
            inputs = [c + skips.pop() for c in [x] + [width] * config.resnets]
            self.up.append(Stage(config, level, inputs, config.depths[level]))
            x = width
            if level:
                self.upsample.append(nn.Conv2d(width, width, 3, padding=1))
        self.norm_out = GroupNorm(config.groups, widths[0], eps=1e-5)
        self.conv_out = nn.Conv2d(widths[0], config.latent_channels, 3, padding=1)
        zero_(self.conv_out)

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        text_states: Tensor,
        text_mask: Tensor,
        added: Tensor | None = None,
    ) -> Tensor:
        e, bias = self.time(timestep), mask_bias(text_mask)
        if self.added_1 is not None and self.added_2 is not None:
            e = e + self.added_2(F.silu(self.added_1(added)))
        x = self.conv_in(latents)
        skips = [x]
        for level, stage in enumerate(self.down):
            for i in range(self.config.resnets):
                x = stage(i, x, e, text_states, bias)
                skips.append(x)
            if level < len(self.downsample):
                x = self.downsample[level](x)
                skips.append(x)
        if self.middle is not None:
            x = self.middle(x, e, text_states, bias)
        for level, stage in enumerate(self.up):
            for i in range(self.config.resnets + 1):
                x = stage(i, torch.cat([x, skips.pop()], dim=1), e, text_states, bias)
            if level < len(self.upsample):
                x = self.upsample[level](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.conv_out(F.silu(self.norm_out(x)))

    def load_diffusers(self, state: Mapping[str, Tensor]) -> None:
        """Load a ``UNet2DConditionModel``; what LinFusion adds to its attention keeps its starting values, which change nothing.

        Raises:
            FewstepError: a weight does not fit.
        """
        linfusion = self.config.attention == "linfusion"
        fresh = {
            name: value for name, value in self.state_dict().items() if linfusion and ".project_" in name
        }
        load_renamed(self, {**state, **fresh}, _rules(linfusion))


def _rules(linfusion: bool) -> Rules:
    apart = [(r"\.attn1\.(to_[qkv])\.", r".attention.\1.")]
    return (
        (r"^down_blocks\.(\d+)\.downsamplers\.0\.conv\.", r"downsample.\1."),
        (r"^up_blocks\.(\d+)\.upsamplers\.0\.conv\.", r"upsample.\1."),
        (r"^down_blocks\.", "down."),
        (r"^mid_block\.", "middle."),
        (r"^up_blocks\.", "up."),
        (r"\.time_emb_proj\.", ".time."),
        (r"\.transformer_blocks\.", ".blocks."),
        *(apart if linfusion else fused("attn1", "attention.to_qkv")),
        (r"\.attn1\.to_out\.0\.", ".attention.to_out."),
        *fused("attn2", "cross_attention.to_kv", ("to_k", "to_v")),
        (r"\.attn2\.to_q\.", ".cross_attention.to_q."),
        (r"\.attn2\.to_out\.0\.", ".cross_attention.to_out."),
        (r"\.ff\.net\.0\.proj\.", ".ffn_in."),
        (r"\.ff\.net\.2\.", ".ffn_out."),
        (r"^time_embedding\.", "time."),
        (r"^add_embedding\.linear_", "added_"),
        (r"^conv_norm_out\.", "norm_out."),
    )

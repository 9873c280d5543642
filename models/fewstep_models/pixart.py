"""PixArt-alpha and PixArt-Sigma, diffusion transformers with text and adaLN-single (Chen 2023, arXiv:2310.00426; 2024, arXiv:2403.04692)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_models.attention import self_attention
from fewstep_models.diffusers_weights import fused, load_renamed, patch_rows
from fewstep_models.layers import ChannelLayerNorm, CrossAttention, TimestepEmbedder, mask_bias
from fewstep_models.positions import sinusoidal_positions
from fewstep_models.sana import TimeEmbedding
from fewstep_models.sizes import require_positive

_VAE_FACTOR = 8


@dataclass(frozen=True)
class PixArtConfig:
    """Sizes of a PixArt on latents (latent_channels, size, size).

    ``extent`` is the number of positions over which those of training ran (positions beyond 64 latents a side are interpolated);
    ``told_size`` says that the network is told the side of the picture and its aspect ratio, as the 1024 px PixArt-alpha is.
    """

    latent_channels: int = 4
    size: int = 64
    patch: int = 2
    width: int = 1152
    depth: int = 28
    head_channels: int = 72
    text_dim: int = 4096
    time_dim: int = 256
    extent: float = 32.0
    told_size: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that no model can have."""
        require_positive(self, "latent_channels", "size", "patch", "width", "depth", "text_dim", "time_dim")
        if self.size % self.patch:
            raise ValueError(f"PixArtConfig.size ({self.size}) must be a multiple of patch ({self.patch})")

    def build(self) -> "PixArtDenoiser":
        """The network, with random weights."""
        return PixArtDenoiser(self)

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any]) -> "PixArtConfig":
        """The sizes in the ``config.json`` of a ``PixArtTransformer2DModel``.

        Raises:
            FewstepError: its blocks are not those of the papers.
        """
        for key, value in _PLAIN.items():
            if config.get(key, value) != value:
                raise FewstepError(
                    f"expected a PixArt with {key} {value}, found {config[key]}; such a model cannot be loaded here"
                )
        size, patch, told = (
            config["sample_size"],
            config["patch_size"],
            config.get("use_additional_conditions"),
        )
        return cls(
            latent_channels=config["in_channels"],
            size=size,
            patch=patch,
            width=config["num_attention_heads"] * config["attention_head_dim"],
            depth=config["num_layers"],
            head_channels=config["attention_head_dim"],
            text_dim=config["caption_channels"],
            extent=size // patch / (config.get("interpolation_scale") or max(size // 64, 1)),
            told_size=size == 128 if told is None else told,
        )


_PLAIN: Mapping[str, object] = {
    "norm_type": "ada_norm_single",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
}


class CaptionProjection(nn.Module):
    """Text states (B, L, text_dim) -> (B, L, width): linear, GELU, linear."""

    def __init__(self, text_dim: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(text_dim, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, text_states: Tensor) -> Tensor:
        return self.linear_2(F.gelu(self.linear_1(text_states), approximate="tanh"))


class SizeEmbedding(nn.Module):
    """What is added to the embedding of time (width,): height, width and aspect ratio, a third of the channels each (SDXL's way)."""

    sides: Tensor
    ratio: Tensor

    def __init__(self, pixels: int, time_dim: int, width: int) -> None:
        super().__init__()
        self.resolution = TimestepEmbedder(time_dim, width // 3)
        self.aspect = TimestepEmbedder(time_dim, width // 3)
        self.register_buffer("sides", torch.full((2,), float(pixels)), persistent=False)
        self.register_buffer("ratio", torch.ones(1), persistent=False)

    def forward(self) -> Tensor:
        return torch.cat([self.resolution(self.sides).flatten(), self.aspect(self.ratio).flatten()])


class PixArtTime(TimeEmbedding):
    """timestep (B,) -> e (B, width) and the six modulation vectors that all blocks share (B, 6 width)."""

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__(config.time_dim, config.width)
        pixels = config.size * _VAE_FACTOR
        self.size = SizeEmbedding(pixels, config.time_dim, config.width) if config.told_size else None

    def embed(self, timestep: Tensor) -> Tensor:
        e = super().embed(timestep)
        return e if self.size is None else e + self.size()


class PixArtBlock(nn.Module):
    """``x += g1 Attn(LN(x)(1+s1)+b1);  x += CrossAttn(x, text);  x += g2 MLP(LN(x)(1+s2)+b2)``, the six from ``table + modulation(t)``."""

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        width = config.width
        self.norm = ChannelLayerNorm()
        self.attention = self_attention("softmax", width, config.head_channels)
        self.cross_attention = CrossAttention(width, config.head_channels)
        self.mlp_in = nn.Conv2d(width, 4 * width, 1)
        self.mlp_out = nn.Conv2d(4 * width, width, 1)
        self.scale_shift_table = nn.Parameter(torch.randn(6, width) / width**0.5)

    def forward(self, x: Tensor, text: Tensor, bias: Tensor, modulation: Tensor) -> Tensor:
        """``modulation`` (B, 6, width)."""
        rows = (self.scale_shift_table + modulation).to(x.dtype)[..., None, None]
        b1, s1, g1, b2, s2, g2 = rows.unbind(1)  # each (B, width, 1, 1)
        x = x + g1 * self.attention(self.norm(x) * (1 + s1) + b1)
        x = x + self.cross_attention(x, text, bias)
        hidden = F.gelu(self.mlp_in(self.norm(x) * (1 + s2) + b2), approximate="tanh")
        return x + g2 * self.mlp_out(hidden)


class PixArtDenoiser(nn.Module):
    """Noise prediction eps(x_t, t, text) with the interface of :class:`fewstep_models.sana.SanaDenoiser`."""

    positions: Tensor

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        self.config = config
        width, patch = config.width, config.patch
        self.patch_embed = nn.Conv2d(config.latent_channels, width, patch, stride=patch)
        positions = sinusoidal_positions(width, config.size // patch, config.extent)
        self.register_buffer("positions", positions, persistent=False)
        self.time = PixArtTime(config)
        self.text = CaptionProjection(config.text_dim, width)
        self.blocks = nn.ModuleList(PixArtBlock(config) for _ in range(config.depth))
        self.norm_out = ChannelLayerNorm()
        self.scale_shift_table = nn.Parameter(torch.randn(2, width) / width**0.5)
        self.proj_out = nn.Conv2d(width, config.latent_channels * patch**2, 1)

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, text_mask: Tensor) -> Tensor:
        e, modulation = self.time(timestep)
        modulation = modulation.unflatten(1, (6, self.config.width))
        text, bias = self.text(text_states), mask_bias(text_mask)
        x = self.patch_embed(latents) + self.positions
        for block in self.blocks:
            x = block(x, text, bias, modulation)
        shift, scale = (self.scale_shift_table + e[:, None]).to(x.dtype)[..., None, None].unbind(1)
        out = self.proj_out(self.norm_out(x) * (1 + scale) + shift)
        return F.pixel_shuffle(out, self.config.patch) if self.config.patch > 1 else out

    def load_diffusers(self, state: Mapping[str, Tensor]) -> None:
        """Load a ``PixArtTransformer2DModel``; the learned variance, the second half of its outputs, is left out.

        Raises:
            FewstepError: a weight does not fit.
        """
        load_renamed(
            self, patch_rows(state, "proj_out", self.config.patch, self.config.latent_channels), _RULES
        )


_RULES = (
    (r"^transformer_blocks\.", "blocks."),
    *fused("attn1", "attention.to_qkv"),
    (r"\.attn1\.to_out\.0\.", ".attention.to_out."),
    *fused("attn2", "cross_attention.to_kv", ("to_k", "to_v")),
    (r"\.attn2\.to_q\.", ".cross_attention.to_q."),
    (r"\.attn2\.to_out\.0\.", ".cross_attention.to_out."),
    (r"\.ff\.net\.0\.proj\.", ".mlp_in."),
    (r"\.ff\.net\.2\.", ".mlp_out."),
    (r"^pos_embed\.proj\.", "patch_embed."),
    (r"^adaln_single\.emb\.timestep_embedder\.", "time."),
    (r"^adaln_single\.emb\.resolution_embedder\.", "time.size.resolution."),
    (r"^adaln_single\.emb\.aspect_ratio_embedder\.", "time.size.aspect."),
    (r"^adaln_single\.linear\.", "time.modulation."),
    (r"^caption_projection\.", "text."),
)

"""MMDiT, the two-stream transformer of Stable Diffusion 3 (Esser et al. 2024, arXiv:2403.03206)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_models.attention import SelfAttention, softmax_attention
from fewstep_models.diffusers_weights import fused, load_renamed, patch_rows
from fewstep_models.layers import ChannelLayerNorm, HeadRMSNorm, TimestepEmbedder, mask_bias, zero_
from fewstep_models.positions import sinusoidal_positions
from fewstep_models.sizes import require_positive


@dataclass(frozen=True)
class MMDiTConfig:
    """Sizes of an :class:`MMDiTDenoiser`.

    ``pooled_dim`` is the width of the pooled text vector; a caller that has none gives none, and the masked mean of the text states
    takes its place (then it equals ``text_dim``). ``qk_norm`` is what SD 3.5 added, as are the ``dual_blocks`` first blocks with a second attention
    among the image's positions alone.
    """

    type: str = field(default="mmdit", init=False)

    latent_channels: int = 8
    size: int = 16
    patch: int = 1
    width: int = 192
    depth: int = 8
    head_channels: int = 64
    mlp_ratio: float = 4.0
    text_dim: int = 384
    pooled_dim: int = 384
    time_dim: int = 256
    qk_norm: bool = True
    dual_blocks: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that no model can have."""
        require_positive(
            self, "latent_channels", "size", "patch", "width", "depth", "text_dim", "pooled_dim", "time_dim"
        )
        if self.size % self.patch:
            raise ValueError(f"MMDiTConfig.size ({self.size}) must be a multiple of patch ({self.patch})")
        if self.width % self.head_channels:
            raise ValueError(
                f"MMDiTConfig.width ({self.width}) must be a multiple of head_channels ({self.head_channels})"
            )

    def build(self) -> "MMDiTDenoiser":
        """The network, with random weights."""
        return MMDiTDenoiser(self)

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any]) -> "MMDiTConfig":
        """The sizes in the ``config.json`` of an ``SD3Transformer2DModel``."""
        return cls(
            latent_channels=config["in_channels"],
            size=config["sample_size"],
            patch=config["patch_size"],
            width=config["num_attention_heads"] * config["attention_head_dim"],
            depth=config["num_layers"],
            head_channels=config["attention_head_dim"],
            text_dim=config["joint_attention_dim"],
            pooled_dim=config["pooled_projection_dim"],
            qk_norm=config.get("qk_norm") is not None,
            dual_blocks=len(config.get("dual_attention_layers") or ()),
        )


class Stream(nn.Module):
    """One side of a joint block, image or text: its own norms, modulation, projections and MLP.

    Works on (B, width, H, W); text is a map of one row. The last text stream (``last``) is read by the image and ends there.
    """

    def __init__(self, config: MMDiTConfig, last: bool = False, dual: bool = False) -> None:
        super().__init__()
        width, d = config.width, config.head_channels
        self.head_channels, self.rows = d, 2 if last else 9 if dual else 6
        self.norm = ChannelLayerNorm()
        self.modulation = nn.Linear(width, self.rows * width)
        self.to_qkv = nn.Conv2d(width, 3 * width, 1)
        self.norm_q = HeadRMSNorm(d) if config.qk_norm else nn.Identity()
        self.norm_k = HeadRMSNorm(d) if config.qk_norm else nn.Identity()
        self.dual = SelfAttention(width, d, qk_norm=config.qk_norm) if dual else None
        if not last:
            hidden = round(width * config.mlp_ratio)
            self.to_out = nn.Conv2d(width, width, 1)
            self.mlp_in = nn.Conv2d(width, hidden, 1)
            self.mlp_out = nn.Conv2d(hidden, width, 1)

    def modulate(self, c: Tensor) -> tuple[Tensor, ...]:
        """``c`` (B, width) -> shift and scale of the attention, its gate, shift, scale and gate of the MLP, ...: each (B, width, 1, 1)."""
        return self.modulation(F.silu(c))[..., None, None].chunk(self.rows, dim=1)

    def project(self, x: Tensor, rows: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Modulated q, k, v, each (B, heads, N, d)."""
        b, c, h, w = x.shape
        qkv = self.to_qkv(self.norm(x) * (1 + rows[1]) + rows[0])
        qkv = qkv.reshape(b, 3 * c // self.head_channels, self.head_channels, h * w)
        q, k, v = qkv.transpose(-1, -2).chunk(3, dim=1)
        return self.norm_q(q), self.norm_k(k), v

    def finish(self, x: Tensor, attended: Tensor, rows: tuple[Tensor, ...]) -> Tensor:
        """``attended`` (B, heads, N, d) projected, gated and added, then the MLP."""
        out = x + rows[2] * self.to_out(attended.transpose(-1, -2).reshape(x.shape))
        if self.dual is not None:
            out = out + rows[8] * self.dual(self.norm(x) * (1 + rows[7]) + rows[6])
        hidden = F.gelu(self.mlp_in(self.norm(out) * (1 + rows[4]) + rows[3]), approximate="tanh")
        return out + rows[5] * self.mlp_out(hidden)


class JointBlock(nn.Module):
    """Image and text attend to [image | text] together; the text of the last block is only read."""

    def __init__(self, config: MMDiTConfig, index: int) -> None:
        super().__init__()
        self.last = index == config.depth - 1
        self.image = Stream(config, dual=index < config.dual_blocks)
        self.text = Stream(config, last=self.last)

    def forward(self, image: Tensor, text: Tensor, c: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """``image`` (B, width, h, w), text (B, width, 1, L), c (B, width), bias (B, 1, 1, N + L) -> image and text."""
        image_rows, text_rows = self.image.modulate(c), self.text.modulate(c)
        pairs = zip(self.image.project(image, image_rows), self.text.project(text, text_rows), strict=True)
        q, k, v = (torch.cat(pair, dim=2) for pair in pairs)
        out = softmax_attention(q, k, v, bias)  # (B, heads, N + L, d)
        n = image.shape[2] * image.shape[3]
        image = self.image.finish(image, out[:, :, :n], image_rows)
        return image, text if self.last else self.text.finish(text, out[:, :, n:], text_rows)


class MMDiTDenoiser(nn.Module):
    """Velocity network with the interface of :class:`fewstep_models.sana.SanaDenoiser`.

    latents (B, C, h, w), timestep (B,) = 1000 sigma, text_states (B, L, text_dim), text_mask (B, L), and, where the model has it,
    pooled (B, pooled_dim) -> velocity (B, C, h, w). ``c = MLP(t) + MLP(pooled)``.
    """

    positions: Tensor

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__()
        self.config = config
        width, patch = config.width, config.patch
        self.patch_embed = nn.Conv2d(config.latent_channels, width, patch, stride=patch)
        self.register_buffer("positions", sinusoidal_positions(width, config.size // patch), persistent=False)
        self.time = TimestepEmbedder(config.time_dim, width)
        self.pooled_1, self.pooled_2 = nn.Linear(config.pooled_dim, width), nn.Linear(width, width)
        self.text = nn.Linear(config.text_dim, width)
        self.blocks = nn.ModuleList(JointBlock(config, i) for i in range(config.depth))
        self.norm_out = ChannelLayerNorm()
        self.modulation_out = nn.Linear(width, 2 * width)
        self.proj_out = nn.Conv2d(width, config.latent_channels * patch**2, 1)
        zero_(self.proj_out, self.modulation_out)
        zero_(*(module.modulation for module in self.modules() if isinstance(module, Stream)))

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        text_states: Tensor,
        text_mask: Tensor,
        pooled: Tensor | None = None,
    ) -> Tensor:
        if pooled is None:
            weights = text_mask / text_mask.sum(1, keepdim=True)
            pooled = (weights[:, None] @ text_states)[:, 0]
        c = self.time(timestep) + self.pooled_2(F.silu(self.pooled_1(pooled)))
        image = self.patch_embed(latents) + self.positions
        text = self.text(text_states).transpose(1, 2)[:, :, None]  # (B, width, 1, L)
        bias = F.pad(mask_bias(text_mask).to(image.dtype), (image.shape[2] * image.shape[3], 0))
        for block in self.blocks:
            image, text = block(image, text, c, bias)
        shift, scale = self.modulation_out(F.silu(c))[..., None, None].chunk(2, dim=1)
        out = self.proj_out(self.norm_out(image) * (1 + scale) + shift)
        return F.pixel_shuffle(out, self.config.patch) if self.config.patch > 1 else out

    def load_diffusers(self, state: Mapping[str, Tensor]) -> None:
        """Load an ``SD3Transformer2DModel``, the centre of its table of positions included.

        Raises:
            FewstepError: a weight does not fit.
        """
        weights = patch_rows(state, "proj_out", self.config.patch, self.config.latent_channels)
        table = weights.pop(_POSITIONS, None)
        if table is None:
            raise FewstepError(
                f"expected the weights of an SD3, but '{_POSITIONS}' is missing; check that the file holds the whole transformer"
            )
        for layer in (f"transformer_blocks.{self.config.depth - 1}.norm1_context.linear", "norm_out.linear"):
            for name in (f"{layer}.weight", f"{layer}.bias"):  # these two keep the scale before the shift
                if name in weights:
                    weights[name] = torch.cat(weights[name].chunk(2)[::-1])
        load_renamed(self, weights, _RULES)
        self.positions = self._centre(table).to(self.positions)

    def _centre(self, table: Tensor) -> Tensor:
        """The middle of a table of positions (1, side^2, width), of the size of our maps: (1, width, h, w)."""
        side, size = round(table.shape[1] ** 0.5), self.config.size // self.config.patch
        first = (side - size) // 2
        return table[0].T.unflatten(1, (side, side))[None, :, first : first + size, first : first + size]


_POSITIONS = "pos_embed.pos_embed"
_RULES = (
    (r"^transformer_blocks\.", "blocks."),
    (r"\.norm1\.linear\.", ".image.modulation."),
    (r"\.norm1_context\.linear\.", ".text.modulation."),
    *fused(r"attn", "image.to_qkv"),
    *fused(r"attn", "text.to_qkv", ("add_q_proj", "add_k_proj", "add_v_proj")),
    *fused(r"attn2", "image.dual.to_qkv"),
    (r"\.attn2\.to_out\.0\.", ".image.dual.to_out."),
    (r"\.attn2\.norm_", ".image.dual.norm_"),
    (r"\.attn\.to_out\.0\.", ".image.to_out."),
    (r"\.attn\.to_add_out\.", ".text.to_out."),
    (r"\.attn\.norm_added_", ".text.norm_"),
    (r"\.attn\.norm_", ".image.norm_"),
    (r"\.ff\.net\.0\.proj\.", ".image.mlp_in."),
    (r"\.ff\.net\.2\.", ".image.mlp_out."),
    (r"\.ff_context\.net\.0\.proj\.", ".text.mlp_in."),
    (r"\.ff_context\.net\.2\.", ".text.mlp_out."),
    (r"^pos_embed\.proj\.", "patch_embed."),
    (r"^time_text_embed\.timestep_embedder\.", "time."),
    (r"^time_text_embed\.text_embedder\.linear_", "pooled_"),
    (r"^context_embedder\.", "text."),
    (r"^norm_out\.linear\.", "modulation_out."),
)

"""DiffuSSM, diffusion without attention (Yan et al. 2023, arXiv:2311.18257): hourglass blocks around a bidirectional S4D."""

from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_models.layers import (
    ChannelLayerNorm,
    CrossAttention,
    TextProjection,
    TimestepEmbedder,
    mask_bias,
    zero_,
)
from fewstep_models.s4d import S4D, S4DForm
from fewstep_models.sizes import require_positive


@dataclass(frozen=True)
class DiffuSSMConfig:
    """Sizes of a :class:`DiffuSSMDenoiser`.

    The dense layers see tokens of ``squeeze`` neighbouring positions of a row (M of the paper), the state space layer sees every
    position, row by row. ``form`` and ``chunk`` are those of :class:`fewstep_models.s4d.S4D`.
    """

    type: str = field(default="diffussm", init=False)

    latent_channels: int = 8
    size: int = 16
    width: int = 256
    depth: int = 7
    squeeze: int = 2
    states: int = 16
    form: S4DForm = "chunked"
    chunk: int = 64
    cross_head_channels: int = 64
    text_dim: int = 384
    time_dim: int = 256

    def __post_init__(self) -> None:
        """Refuse sizes that no model can have."""
        require_positive(
            self, "latent_channels", "size", "width", "depth", "squeeze", "states", "chunk", "text_dim"
        )
        if self.size % self.squeeze:
            raise ValueError(
                f"DiffuSSMConfig.size ({self.size}) must be a multiple of squeeze ({self.squeeze})"
            )

    def build(self) -> "DiffuSSMDenoiser":
        """The network, with random weights."""
        return DiffuSSMDenoiser(self)


class HourglassBlock(nn.Module):
    """``U = s(W_up s(W_0 I)); Y = S4D(U); I' = s(W_down Y); O = W_3 (s(W_2 I') * s(W_1 I))``, s = GELU, on tokens I.

    I is normed and modulated by time, O gated (adaLN-Zero) and added; then the tokens read the text.
    """

    def __init__(self, config: DiffuSSMConfig) -> None:
        super().__init__()
        width, m = config.width, config.squeeze
        self.squeeze = m
        self.norm = ChannelLayerNorm()
        self.modulation = nn.Linear(width, 3 * width)
        self.w_0 = nn.Conv2d(width, width, 1)
        self.w_up = nn.Conv2d(width, m * width, 1)
        self.ssm = S4D(width, config.size**2, config.states, config.form, config.chunk)
        self.w_down = nn.Conv2d(m * width, 2 * width, 1)
        self.w_1 = nn.Conv2d(width, 2 * width, 1)
        self.w_2 = nn.Conv2d(2 * width, 2 * width, 1)
        self.w_3 = nn.Conv2d(2 * width, width, 1)
        self.cross_attention = CrossAttention(width, config.cross_head_channels)

    def forward(self, x: Tensor, c: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        """``x`` (B, width, h, w / squeeze), c (B, width), text (B, L, width), bias (B, 1, 1, L)."""
        shift, scale, gate = self.modulation(F.silu(c)).to(x.dtype)[..., None, None].chunk(3, dim=1)
        tokens = self.norm(x) * (1 + scale) + shift
        sequence = self.expand(F.gelu(self.w_up(F.gelu(self.w_0(tokens)))))
        hidden = F.gelu(self.w_down(self.gather(self.ssm(sequence), x)))
        x = x + gate * self.w_3(F.gelu(self.w_2(hidden)) * F.gelu(self.w_1(tokens)))
        return x + self.cross_attention(x, text, bias)

    def expand(self, tokens: Tensor) -> Tensor:
        """(B, squeeze width, h, w) -> the sequence (B, width, squeeze h w); channels (width, squeeze) become positions."""
        b, c, h, w = tokens.shape
        split = tokens.reshape(b, c // self.squeeze, self.squeeze, h * w)
        return split.transpose(-1, -2).reshape(b, c // self.squeeze, self.squeeze * h * w)

    def gather(self, sequence: Tensor, like: Tensor) -> Tensor:
        """The inverse of :meth:`expand`, for tokens in the map of ``like``."""
        b, c, length = sequence.shape
        split = sequence.reshape(b, c, length // self.squeeze, self.squeeze).transpose(-1, -2)
        return split.reshape(b, c * self.squeeze, like.shape[2], like.shape[3])


class DiffuSSMDenoiser(nn.Module):
    """Velocity network with the interface of :class:`fewstep_models.sana.SanaDenoiser`; the ends of the sequence give the place.

    latents (B, C, h, w), timestep (B,) = 1000 sigma, text_states (B, L, text_dim), text_mask (B, L) -> velocity (B, C, h, w).
    """

    def __init__(self, config: DiffuSSMConfig) -> None:
        super().__init__()
        self.config = config
        width, m = config.width, config.squeeze
        self.embed = nn.Conv2d(config.latent_channels, width, (1, m), stride=(1, m))
        self.time = TimestepEmbedder(config.time_dim, width)
        self.text = TextProjection(config.text_dim, width)
        self.blocks = nn.ModuleList(HourglassBlock(config) for _ in range(config.depth))
        self.norm_out = ChannelLayerNorm()
        self.modulation_out = nn.Linear(width, 2 * width)
        self.proj_out = nn.Conv2d(width, config.latent_channels * m, 1)
        zero_(self.proj_out, self.modulation_out)
        for module in self.modules():
            if isinstance(module, HourglassBlock):
                zero_(module.modulation, module.cross_attention.to_out)

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, text_mask: Tensor) -> Tensor:
        c, text, bias = self.time(timestep), self.text(text_states), mask_bias(text_mask)
        x = self.embed(latents)
        for block in self.blocks:
            x = block(x, c, text, bias)
        shift, scale = self.modulation_out(F.silu(c)).to(x.dtype)[..., None, None].chunk(2, dim=1)
        out = self.proj_out(self.norm_out(x) * (1 + scale) + shift)  # (B, C squeeze, h, w / squeeze)
        b, channels, h, w = out.shape
        split = out.reshape(b, channels // self.config.squeeze, self.config.squeeze, h * w)
        return split.transpose(-1, -2).reshape(b, -1, h, w * self.config.squeeze)

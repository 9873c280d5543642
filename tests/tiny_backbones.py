"""A tiny denoiser of each kind, with one interface: latents (B, 8, 4, 4) and text states 12 wide."""

from fewstep_models.backbones import BackboneConfig
from fewstep_models.diffussm import DiffuSSMConfig
from fewstep_models.dit import DiTConfig
from fewstep_models.mamba2 import Mamba2Config
from fewstep_models.mmdit import MMDiTConfig
from fewstep_models.sana import SanaConfig
from fewstep_models.udit import UDiTConfig
from fewstep_models.unet import UNetConfig

TINY: list[BackboneConfig] = [
    SanaConfig(width=32, depth=1, head_channels=8, cross_head_channels=16, text_dim=12, size=4),
    DiTConfig(width=32, depth=1, head_channels=16, text_dim=12, size=4),
    MMDiTConfig(width=32, depth=2, head_channels=16, text_dim=12, pooled_dim=12, size=4),
    UNetConfig(
        size=4,
        widths=(16,),
        depths=(1,),
        heads=(2,),
        mid_depth=0,
        groups=4,
        text_dim=12,
        attention="linfusion",
    ),
    UDiTConfig(size=4, width=16, depths=(1,), head_channels=8, text_dim=12),
    DiffuSSMConfig(size=4, width=32, depth=1, states=4, chunk=4, cross_head_channels=16, text_dim=12),
    Mamba2Config(
        size=4, width=32, depth=1, states=8, head_channels=16, chunk=4, cross_head_channels=16, text_dim=12
    ),
]
"""One of each kind."""

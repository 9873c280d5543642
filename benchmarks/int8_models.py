"""The denoisers of benchmarks/int8.py: random weights in the sizes of published networks, and their inputs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Feeds = Mapping[str, npt.NDArray[Any]]
NAMES = {"sana": "Sana-like, 29 M", "unet": "U-Net, 72 M", "dit": "DiT, 40 M"}
_SIDE = {"sana": 16, "unet": 32, "dit": 32}


def feeds(name: str, seed: int) -> Feeds:
    """Unit normal latents and text states (or a class), a timestep of 20 to 980; one sample."""
    generator = np.random.default_rng(seed)
    side = _SIDE[name]
    latents = generator.standard_normal((1, 4, side, side)).astype(np.float32)
    timestep = np.full((1,), float(generator.integers(20, 980)), np.float32)
    text = generator.standard_normal((1, 77, 384)).astype(np.float32)
    condition = generator.integers(0, 1000, (1,)).astype(np.int64) if name == "dit" else text
    return {"latents": latents, "timestep": timestep, "condition": condition}


def build(name: str) -> Any:
    """The torch module, called with (latents, timestep, condition)."""
    import diffusers
    import torch

    torch.manual_seed(0)
    if name == "unet":
        inner: Any = diffusers.UNet2DConditionModel(
            sample_size=32,
            in_channels=4,
            out_channels=4,
            layers_per_block=2,
            block_out_channels=(128, 256, 512),
            cross_attention_dim=384,
            attention_head_dim=8,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        )
    elif name == "sana":
        inner = diffusers.SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=16,
            attention_head_dim=24,
            num_layers=12,
            num_cross_attention_heads=16,
            cross_attention_head_dim=24,
            cross_attention_dim=384,
            caption_channels=384,
            mlp_ratio=2.5,
            sample_size=16,
            patch_size=1,
        )
    else:
        inner = diffusers.DiTTransformer2DModel(
            num_attention_heads=6,
            attention_head_dim=64,
            in_channels=4,
            out_channels=4,
            num_layers=12,
            sample_size=32,
            patch_size=2,
        )

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner.eval()

        def forward(self, latents: Any, timestep: Any, condition: Any) -> Any:
            if name == "sana":
                return self.inner(latents, condition, timestep, return_dict=False)[0]
            if name == "unet":
                return self.inner(latents, timestep, condition, return_dict=False)[0]
            return self.inner(latents, timestep=timestep, class_labels=condition, return_dict=False)[0]

    return Named().eval()


def export(name: str, target: Path) -> None:
    """Writes the FP32 graph, opset 20."""
    import torch

    given = feeds(name, 0)
    arguments = tuple(torch.from_numpy(value) for value in given.values())
    with torch.no_grad():
        torch.onnx.export(
            build(name),
            arguments,
            target,
            dynamo=True,
            opset_version=20,
            input_names=list(given),
            output_names=["velocity"],
            external_data=False,
            verbose=False,
        )

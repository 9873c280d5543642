"""A diffusers pipeline of Stable Diffusion 1.x in the names of the original, CompVis's: the inverse of what diffusers does to read them."""

import re
from collections.abc import Mapping
from pathlib import Path

import diffusers
from safetensors.torch import save_file
from torch import Tensor

_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_ENDS = {
    "conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def save_original(pipeline: diffusers.StableDiffusionPipeline, file: Path) -> None:
    """Writes the U-Net, the VAE and the text encoder to one file."""
    unet, vae = pipeline.unet, pipeline.vae
    layers, levels = unet.config.layers_per_block, len(unet.config.block_out_channels)
    weights = {
        **_renamed(unet.state_dict(), lambda name: f"model.diffusion_model.{_unet(name, layers, levels)}"),
        **_renamed(
            vae.state_dict(),
            lambda name: f"first_stage_model.{_vae(name, len(vae.config.block_out_channels))}",
        ),
        **_renamed(
            pipeline.text_encoder.state_dict(),
            lambda name: f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}",
        ),
    }
    for name, value in weights.items():
        if re.search(r"first_stage.*\.attn_1\.(q|k|v|proj_out)\.weight", name):
            weights[name] = value[..., None, None]
    save_file({name: value.contiguous() for name, value in weights.items()}, file)


def _renamed(weights: Mapping[str, Tensor], rename) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
    return {rename(name): value for name, value in weights.items()}


def _unet(name: str, layers: int, levels: int) -> str:
    for ours, original in _ENDS.items():
        if name.startswith(ours + "."):
            return name.replace(ours, original, 1)
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name):
        kind, k, rest = found.groups()
        return f"middle_block.{2 * int(k) if kind == 'resnets' else 1}.{_resnet(rest, kind)}"
    found = re.match(
        r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name
    )
    assert found is not None, name
    side, level, kind, k, rest = found.groups()
    i, j = int(level), int(k)
    if kind == "downsamplers":
        return f"input_blocks.{(layers + 1) * (i + 1)}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{(layers + 1) * i + layers}.{2 if i == 0 else 1}.{rest}"
    place = (
        f"input_blocks.{1 + (layers + 1) * i + j}"
        if side == "down"
        else f"output_blocks.{(layers + 1) * i + j}"
    )
    return f"{place}.{0 if kind == 'resnets' else 1}.{_resnet(rest, kind)}"


def _resnet(rest: str, kind: str) -> str:
    first, dot, last = rest.partition(".")
    return _RESNET[first] + dot + last if kind == "resnets" else rest


def _vae(name: str, levels: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", name)
    if found := re.match(r"(.*)mid_block\.attentions\.0\.(.*)\.(weight|bias)", name):
        head, middle, tail = found.groups()
        return f"{head}mid.attn_1.{_ATTENTION[middle]}.{tail}"
    return name

"""TensorRT engines built on this machine without a GPU: how long that takes, and how large they are.

    python benchmarks/tensorrt_build.py            the zoo model, every component, FP16, INT8 and FP8
    python benchmarks/tensorrt_build.py --sizes    the same in FP16 and INT8 with two profiles, pictures of 64 to 256 pixels a side and of 256 x 128
    python benchmarks/tensorrt_build.py --unet     Stable Diffusion 1.5's U-Net in full size (random weights), FP16, ahead of time for
                                                   compute capability 8.6; about 8 GB of memory

Each writes its part of results/tensorrt_build.json. The layers of every engine were held against their nodes: none that is FP16 in the
graph is FP32 in the network. `unfused_attention` counts the softmax layers that the builder did not put into one kernel with the products
around them. No engine was run.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import torch
from facts import facts

from fewstep.bundle import Bundle
from fewstep.sizes import SizeProfile
from fewstep.tensorrt.build import build_engine
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.layers import Layer
from fewstep.tensorrt.library import load_library
from fewstep_export.config import ExportConfig, Precision
from fewstep_export.exporter import export
from fewstep_export.onnx_export import simplify, translate
from fewstep_export.passes.fp16 import ToFp16
from fewstep_export.tensorrt.audit import fallen_back, unfused_attention

RESULTS = Path(__file__).parent / "results" / "tensorrt_build.json"


PROFILES = (SizeProfile.parse("64:128:256"), SizeProfile.parse("256x128"))


def zoo() -> Mapping[str, Any]:
    """Every component of emoji-128 by variant."""
    return engines(("fp16", "int8", "fp8"), BuildConfig())


def sizes() -> Mapping[str, Any]:
    """The same for many sizes."""
    made = engines(("fp16", "int8"), BuildConfig(profiles=PROFILES))
    return {"profiles": [str(profile) for profile in PROFILES], **made}


def engines(precisions: tuple[Precision, ...], build: BuildConfig) -> Mapping[str, Any]:
    """Seconds and bytes of emoji-128 by variant and component."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "x.fewstep")
        config = ExportConfig("emoji-128", output, ("tensorrt",), precisions, engines=build)
        manifest = Bundle.open(export(config)).manifest
    return {
        variant.name: {
            "components": {
                name: {
                    "seconds": round(variant.engines[name].seconds, 2),
                    "bytes": manifest.bytes_of(component),
                }
                for name, component in variant.components.items()
            },
            "pictures_emulated_psnr": variant.verification["pictures_emulated"].psnr,
            "built_with": f"{variant.engines['denoiser'].library} {variant.engines['denoiser'].version}",
        }
        for variant in manifest.variants
    }


def unet() -> Mapping[str, Any]:
    """The U-Net of Stable Diffusion 1.5, 859.5 M parameters."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    module = UNet2DConditionModel(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8, in_channels=4, out_channels=4
    )
    module.eval().requires_grad_(False)
    example = {
        "latents": torch.zeros(2, 4, 64, 64),
        "timestep": torch.zeros(2),
        "text_states": torch.zeros(2, 77, 768),
    }
    parameters = sum(p.numel() for p in module.parameters())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "denoiser.onnx")
        exported = translate("denoiser", _Output(module), example, ["noise"]).model
        ir.save(ToFp16()(simplify(exported).model).model, file, external_data="denoiser.onnx.data")
        del module, exported
        config = BuildConfig(compute_capabilities=("8.6",))
        built = build_engine(load_library(), file, config)
        fallen = list(fallen_back(onnx.load(str(file), load_external_data=False), built.layers))
        graph = sum(path.stat().st_size for path in Path(folder).iterdir())
    return {
        "parameters": parameters,
        "graph_bytes": graph,
        "engine_bytes": len(built.content),
        "seconds": round(built.record.seconds, 1),
        "compute_capabilities": list(config.compute_capabilities),
        "fallen_back": len(fallen),
        "unfused_attention": len(unfused_attention(built)),
        "layers": _counted(built.layers),
    }


class _Output(torch.nn.Module):
    """The U-Net with a tensor for its result."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.unet = module

    def forward(
        self, latents: torch.Tensor, timestep: torch.Tensor, text_states: torch.Tensor
    ) -> torch.Tensor:
        output: torch.Tensor = self.unet(latents, timestep, text_states, return_dict=False)[0]
        return output


def _counted(layers: tuple[Layer, ...]) -> Mapping[str, int]:
    """Layers that compute, by kind and type."""
    kinds = {"CONVOLUTION", "MATRIX_MULTIPLY", "SOFTMAX", "NORMALIZATION", "ATTENTION"}
    counts = Counter(f"{layer.kind} {layer.dtypes[0]}" for layer in layers if layer.kind in kinds)
    return dict(sorted(counts.items()))


def main() -> None:
    """Runs one part and merges it into the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--unet", action="store_true")
    parser.add_argument("--sizes", action="store_true")
    options = parser.parse_args()
    part, made = ("emoji-128", zoo)
    if options.unet:
        part, made = ("sd15_unet", unet)
    if options.sizes:
        part, made = ("emoji-128, sizes", sizes)
    begin = time.perf_counter()
    value = dict(made()) | {
        "whole_seconds": round(time.perf_counter() - begin, 1),
        **facts("numpy", "torch", "onnx", threads=torch.get_num_threads()),
    }
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    RESULTS.write_text(json.dumps(results | {part: value}, indent=2) + "\n")
    print(json.dumps(value, indent=2))


if __name__ == "__main__":
    main()

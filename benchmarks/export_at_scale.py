"""Time and memory of exporting full-size denoisers, beside optimum-onnx on the same machine in the same run.

    python benchmarks/export_at_scale.py --peer-python OTHER/bin/python --out benchmarks/results/export_at_scale.json

Weights are random, in FP16 safetensors of the real configuration (Stable Diffusion 1.5's U-Net, Sana 0.6 B). Both sides end with a
comparison to torch. optimum-onnx pins other versions of its dependencies, so it lives in an environment of its own:
`pip install "optimum-onnx[onnxruntime]" diffusers torch`. Peak memory is the largest resident set of any process of a side.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import diffusers
import numpy as np
import torch
from accelerate import init_empty_weights
from facts import facts
from safetensors.torch import save_file
from torch import Tensor, nn

from fewstep_export.components import Component
from fewstep_export.large.activations import imagine
from fewstep_export.large.child import in_child
from fewstep_export.large.memory import MemoryForecast
from fewstep_export.large.trace import LargeNetwork, give_shapes, trace
from fewstep_export.large.verify import Feeds, compare
from fewstep_export.large.weights import WeightFiles
from fewstep_export.large.writer import write

RESULT = Path(__file__).parent / "results" / "export_at_scale.json"
SHARD = 1 << 30
STABLE_DIFFUSION = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
SANA = {
    "in_channels": 32,
    "out_channels": 32,
    "num_attention_heads": 36,
    "attention_head_dim": 32,
    "num_layers": 28,
    "num_cross_attention_heads": 16,
    "cross_attention_head_dim": 72,
    "cross_attention_dim": 1152,
    "caption_channels": 2304,
    "mlp_ratio": 2.5,
    "sample_size": 32,
    "patch_size": 1,
}


@dataclass(frozen=True)
class Case:
    """A network of diffusers with random weights."""

    name: str
    kind: str
    config: dict[str, Any]
    latents: tuple[int, int, int]
    text: tuple[int, int]

    def build(self) -> nn.Module:
        """The network, its parameters on the meta device."""
        with init_empty_weights(include_buffers=False):
            network: nn.Module = getattr(diffusers, self.kind)(**self.config)
        return network.eval()


CASES = (
    Case("stable-diffusion-1.5-unet", "UNet2DConditionModel", STABLE_DIFFUSION, (4, 64, 64), (77, 768)),
    Case("sana-0.6b", "SanaTransformer2DModel", SANA, (32, 32, 32), (300, 2304)),
)


class Denoiser(nn.Module):
    """The network with the inputs that a step has."""

    def __init__(self, network: nn.Module, kind: str) -> None:
        super().__init__()
        self.network, self.kind = network, kind

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor) -> Tensor:
        if self.kind == "UNet2DConditionModel":
            output: Tensor = self.network(latents, timestep, text_states, return_dict=False)[0]
        else:
            output = self.network(latents, text_states, timestep, return_dict=False)[0]
        return output


@dataclass(frozen=True)
class Stored:
    """A case whose weights lie in a folder."""

    case: Case
    folder: Path

    def network(self) -> LargeNetwork:
        """See `fewstep_export.large.verify.Source`."""
        inputs = {"latents": self.case.latents, "timestep": (), "text_states": self.case.text}
        shapes = {name: ((2, *shape), torch.float32) for name, shape in inputs.items()}
        return LargeNetwork(
            "denoiser", Denoiser(self.case.build(), self.case.kind), shapes, ("velocity",), "network."
        )

    def weights(self) -> WeightFiles:
        """See `fewstep_export.large.verify.Source`."""
        return WeightFiles.open(self.folder)


def main() -> None:
    """Runs every case on both sides, one after the other, and writes the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", help="python of an environment with optimum-onnx")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append")
    options = parser.parse_args()
    said = facts("torch", "diffusers", "onnx", "onnxruntime", threads=torch.get_num_threads())
    rows: list[dict[str, Any]] = []
    for case in CASES:
        if options.case and case.name not in options.case:
            continue
        with tempfile.TemporaryDirectory(prefix="fewstep-scale-") as folder:
            rows += _run(case, Path(folder), options.peer_python)
        options.out.write_text(json.dumps({**said, "rows": rows}, indent=1) + "\n", encoding="utf-8")


def _run(case: Case, folder: Path, peer_python: str | None) -> list[dict[str, Any]]:
    stored = Stored(case, folder / "weights")
    in_child("writing random weights", write_random, case, stored.folder)
    rows = [{"case": case.name, "tool": "fewstep", **_fewstep(stored, folder / "fewstep")}]
    print(json.dumps(rows[-1]), file=sys.stderr)
    if peer_python:
        rows.append({"case": case.name, "tool": "optimum-onnx", **_optimum(stored, folder, peer_python)})
        print(json.dumps(rows[-1]), file=sys.stderr)
    return rows


def _fewstep(stored: Stored, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    begin, path = perf_counter(), folder / "denoiser.onnx"
    forecast = _forecast(stored)
    exported = in_child("exporting", export, stored, path)
    compared = compare(stored, path, feeds(stored.case), stored.case.name)
    peaks = {"export": exported.peak_bytes, **compared.peak_bytes}
    return {
        "seconds": perf_counter() - begin,
        "export_seconds": exported.seconds,
        "peak_bytes": max(peaks.values()),
        "peak_bytes_by_stage": peaks,
        "forecast_bytes": forecast.peak,
        "weight_bytes": forecast.weights,
        "max_abs_error": compared.verification.max_abs_error,
        "output_scale": compared.verification.output_scale,
    }


def _forecast(stored: Stored) -> MemoryForecast:
    network = stored.network()
    give_shapes(network.module, stored.case.name)
    component = Component(network.name, network.module, tuple(network.inputs), network.outputs)
    evaluation = imagine(component, feeds(stored.case))
    return MemoryForecast.of(network.weight_shapes(), evaluation.torch, evaluation.graph)


def _optimum(stored: Stored, folder: Path, python: str) -> dict[str, Any]:
    """The same by optimum-onnx: the model loaded in float32, exported, validated against torch with its own routine."""
    script = Path(__file__).with_name("export_at_scale_peer.py")
    begin = perf_counter()
    done = subprocess.run(
        [python, script, stored.case.kind, stored.folder, folder / "optimum"],
        check=False,
        capture_output=True,
        text=True,
    )
    seconds = perf_counter() - begin
    if done.returncode:
        return {"seconds": seconds, "failed": done.stderr.strip().splitlines()[-1:]}
    return {"seconds": seconds, **json.loads(done.stdout.strip().splitlines()[-1])}


def export(stored: Stored, path: Path) -> None:
    """Traces and writes, in this process."""
    network = stored.network()
    write(network, trace(network), stored.weights(), path)


def feeds(case: Case) -> Feeds:
    """Fixed inputs of one picture."""
    rng = np.random.default_rng(0)
    return {
        "latents": rng.standard_normal((1, *case.latents)).astype(np.float32),
        "timestep": np.array([500.0], dtype=np.float32),
        "text_states": rng.standard_normal((1, *case.text)).astype(np.float32),
    }


def write_random(case: Case, folder: Path) -> None:
    """A diffusers folder of the network with random FP16 weights, in shards."""
    folder.mkdir(parents=True)
    network, generator = case.build(), torch.Generator().manual_seed(0)
    network.save_config(folder)  # type: ignore[operator]  # of diffusers' ConfigMixin
    shard: dict[str, Tensor] = {}
    where: dict[str, str] = {}
    for name, parameter in network.state_dict().items():
        shard[name] = _random(name, tuple(parameter.shape), generator)
        if sum(tensor.nbytes for tensor in shard.values()) > SHARD:
            _flush(shard, where, folder)
    _flush(shard, where, folder)
    index = {"metadata": {}, "weight_map": where}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def _flush(shard: dict[str, Tensor], where: dict[str, str], folder: Path) -> None:
    if shard:
        name = f"diffusion_pytorch_model-{len(list(folder.glob('*.safetensors'))) + 1:05d}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        where.update(dict.fromkeys(shard, name))
        shard.clear()


def _random(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if len(shape) > 1:
        return (torch.randn(shape, generator=generator) / float(np.prod(shape[1:])) ** 0.5).half()
    return (torch.ones if name.endswith("weight") else torch.zeros)(shape, dtype=torch.float16)


if __name__ == "__main__":
    main()

"""What quantisation-aware fine-tuning is worth: the error of the INT8 denoiser, as ONNX Runtime computes it, before and after.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/quantisation_aware.py [--trained out/train/students/quantisation-aware-4 | --seconds 120]

Of a finished run of distillation/recipes/students/quantisation-aware-4.toml, or of its method for so long on a CPU, on the checkpoint's own example
prompts instead of a data set (it needs no pictures). Errors are relative, in the Euclidean norm, over the points at which the float network is asked while it draws prompts that neither
training nor calibration saw. Writes results/quantisation_aware.json.
"""

import argparse
import copy
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from facts import facts
from torch import Tensor, nn

from fewstep.network import Feeds
from fewstep_distillation.banks import LatentBank, encode_texts
from fewstep_distillation.fake_quantisation import on_grid
from fewstep_distillation.methods.quantisation_aware import QuantisationAware, QuantisationAwareMethod
from fewstep_distillation.run_config import RunConfig
from fewstep_distillation.student import StudentConfig
from fewstep_export.components import Component
from fewstep_export.onnx_export import export_component
from fewstep_models import zoo
from fewstep_models.checkpoint import Checkpoint
from fewstep_quantization.sessions import network
from fewstep_quantization.static_graph import quantise_graph

TARGET = Path(__file__).parent / "results" / "quantisation_aware.json"
CPU = torch.device("cpu")
INPUTS = ("latents", "timestep", "text_states", "text_mask")
HELD = 16
"""Prompts to measure with."""


def prepared(source: str, batch: int) -> tuple[QuantisationAwareMethod, torch.Tensor]:
    """The method with the checkpoint's example prompts, and the rows of those that are held back."""
    config = Checkpoint.load(zoo.resolve(source)).config
    run = RunConfig("data/emoji-128", "out/unused", 1, batch_size=batch)
    student = StudentConfig(run, source, "in-8-bits", config.sampling.steps)
    method = QuantisationAware(calibration=4).build(student)
    texts = [f"{example}, {style} style" for example in config.examples for style in config.styles]
    rows = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0)) + 1
    method.text = encode_texts(["", *texts], CPU)
    method.device, trained = CPU, rows[HELD:]
    denoiser = config.denoiser
    empty = torch.zeros(len(trained), denoiser.latent_channels, denoiser.size, denoiser.size)
    method.latents = LatentBank(
        empty, torch.ones(len(trained)), trained, torch.ones(len(trained)), config.latent
    )
    method.calibrate(CPU)
    return method, rows[:HELD]


def points(method: QuantisationAwareMethod, rows: Tensor, seed: int) -> list[Feeds]:
    """The calls of the float network while it draws the captions of these rows, one a call."""
    found: list[Feeds] = []
    generator = torch.Generator().manual_seed(seed)
    count = len(method.levels) - 1
    for row in rows:
        batch = method.with_captions(torch.zeros(1, *method.latents.latents.shape[1:]), row[None])
        for x, sigma in method.walk(batch, count, generator):
            values = (x, 1000 * sigma, batch.states, batch.mask)
            found.append({name: value.numpy() for name, value in zip(INPUTS, values, strict=True)})
    return found


@torch.no_grad()
def outputs(module: nn.Module, calls: Sequence[Feeds]) -> list[np.ndarray]:
    """A torch network's velocities."""
    return [module(*(torch.from_numpy(call[name]) for name in INPUTS)).numpy() for call in calls]


def in_integers(module: nn.Module, calibration: Sequence[Feeds], calls: Sequence[Feeds]) -> list[np.ndarray]:
    """Those of its graph after `int8`."""
    double = {name: np.concatenate([value, value]) for name, value in calls[0].items()}
    graph = export_component(Component("denoiser", module.eval(), INPUTS, ("velocity",)), double).model
    run = network(quantise_graph(graph, calibration)[0])
    return [run(call)["velocity"] for call in calls]


def error(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The mean over calls."""
    pairs = zip(found, expected, strict=True)
    return round(mean(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs), 5)


def main() -> None:
    """Reads the options, trains, measures, writes the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", default="emoji-128-4step")
    parser.add_argument("--trained", type=Path, help="the folder of a finished run, with its log and recipe")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=2e-6)
    options = parser.parse_args()
    method, held = prepared(options.source, options.batch)
    calibration = points(method, method.latents.first[:: max(1, len(method.latents.first) // 24)][:24], 1)
    calls = points(method, held, 2)
    expected = outputs(method.teacher, calls)
    found = {
        "int8_before": error(in_integers(copy.deepcopy(method.teacher), calibration, calls), expected),
        "imitation_before": error(outputs(method.module, calls), expected),
    }
    print(found, flush=True)
    if options.trained:
        plain, training = Checkpoint.load(options.trained).denoiser, facts_of(options.trained)
    else:
        training = train(method, options.seconds, options.batch, options.rate)
        plain = on_grid(method.module)
        found["imitation_after"] = error(outputs(method.module, calls), expected)
    found |= {
        "int8_after": error(in_integers(plain, calibration, calls), expected),
        "float_after": error(outputs(plain, calls), expected),
    }
    said = facts("torch", "onnxruntime")
    result = {**said, "source": options.source, "errors": found, "training": training}
    TARGET.write_text(json.dumps(result, indent=1) + "\n")
    print(found, training)


def facts_of(run: Path) -> dict[str, Any]:
    """What a finished run tells of its training."""
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    said = json.loads((run / "recipe.json").read_text())["run"]
    return {
        "updates": log[-1]["step"],
        "seconds": log[-1]["seconds"],
        "batch": said["batch_size"],
        "rate": said["learning_rate"],
        "loss": [line["loss"] for line in log],
    }


def train(method: QuantisationAwareMethod, seconds: float, batch: int, rate: float) -> dict[str, Any]:
    """Adam with a rate that falls to 0 over the time; what was done, and the loss in ten parts of it."""
    optimiser = torch.optim.Adam([p for p in method.module.parameters() if p.requires_grad], rate)
    losses: list[float] = []
    generator, begin = torch.Generator().manual_seed(3), time.monotonic()
    while (passed := (time.monotonic() - begin) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (len(losses) + 1) / 10) * (1 - passed)
        loss, _ = method.loss(method.module, batch, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    parts = [round(float(np.mean(part)), 6) for part in np.array_split(losses, 10)]
    return {"updates": len(losses), "seconds": seconds, "batch": batch, "rate": rate, "loss": parts}


if __name__ == "__main__":
    main()

"""Every backbone, autoencoder and family of checkpoints as Core ML packages: errors against ONNX Runtime, read back from disk.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=2 python benchmarks/coreml_coverage.py [backbones | autoencoders | FAMILY ...]

Models are tiny and have random weights: those of `fewstep_models`, and the components of real diffusers and transformers classes
(tests/export/checkpoints/tiny_pipelines.py). Each is converted for iOS 17 and iOS 18, in FP32 (evaluated in float64) and in FP16 (every
value rounded). Writes results/coreml_coverage.json, model by model, and the table of docs/coreml.md.
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from facts import facts
from torch import nn

from fewstep.engines.coreml import split_rows
from fewstep.network import Feeds
from fewstep_export.checkpoints import load_generator
from fewstep_export.components import Component, Exportable
from fewstep_export.config import ExportConfig
from fewstep_export.coreml.convert import ConvertConfig, convert
from fewstep_export.coreml.verify import verify_package
from fewstep_export.fixed_inputs import Case, fixed_cases
from fewstep_export.onnx_export import export_component
from fewstep_export.package_config import MinimumTarget
from fewstep_export.targets.ort import to_fp16
from fewstep_models.autoencoder import AutoencoderConfig
from fewstep_models.pixart import PixArtConfig
from fewstep_models.unet import UNetConfig

ROOT = Path(__file__).parents[1]
RESULT, PAGE = ROOT / "benchmarks/results/coreml_coverage.json", ROOT / "docs/coreml.md"
BEGIN, END = "<!-- begin of the table by benchmarks/coreml_coverage.py -->", "<!-- end of the table -->"
sys.path[:0] = [str(ROOT), str(ROOT / "tests/export/checkpoints")]
Model = tuple[str, Exportable, Sequence[Case]]
"""A name, a component, and its inputs."""


def judge(component: Exportable, cases: Sequence[Case]) -> dict[str, float]:
    """Largest differences relative to the largest output by precision and target, on two rows.

    Raises:
        FewstepError: a package cannot be made, or is beyond its bound.
    """
    full = export_component(component, cases[0].feeds).model
    rows = [row for case in cases for row in split_rows(case.feeds)][:2]
    where = [row for case in cases for row in (split_rows(case.where) if case.where else [])][:2]
    found = {}
    targets: tuple[MinimumTarget, ...] = get_args(MinimumTarget)
    for precision, graph in (("fp32", full), ("fp16", to_fp16(full))):
        for target in targets:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "component.mlpackage"
                convert(graph, path, ConvertConfig(target))
                checks = verify_package(
                    path, full, rows, "exact" if precision == "fp32" else "fp16", None, where
                )
            found[f"{precision}, {target}"] = max(c.max_abs_error / c.output_scale for c in checks.values())
    return found


def backbones() -> Iterator[Model]:
    """The denoisers of fewstep_models."""
    from tests.tiny_backbones import TINY

    unet = UNetConfig(size=4, widths=(16,), depths=(1,), heads=(2,), mid_depth=0, groups=4, text_dim=12)
    inputs = ("latents", "timestep", "text_states", "text_mask")
    pixart = PixArtConfig(latent_channels=8, size=4, width=32, depth=1, head_channels=16, text_dim=12)
    for config in (*TINY, unet, pixart):
        rng = np.random.default_rng(0)
        latents = rng.standard_normal((2, config.latent_channels, config.size, config.size))
        mask = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])
        arrays = (latents, np.array([10.0, 900.0]), rng.standard_normal((2, 5, config.text_dim)), mask)
        feeds = {name: array.astype(np.float32) for name, array in zip(inputs, arrays, strict=True)}
        name = type(config).__name__.removesuffix("Config")
        name += f", {config.attention}" if isinstance(config, UNetConfig) else ""
        yield name, Component("denoiser", _awake(config.build()), inputs, ("velocity",)), _cases(feeds)


def autoencoders() -> Iterator[Model]:
    """The decoders of fewstep_models."""
    from tests.models.test_autoencoder_graphs import CONFIGS, Decoding

    from fewstep_export.checkpoints.native import PictureDecoder
    from fewstep_models.autoencoder import Autoencoder

    feeds = {"latents": np.random.default_rng(0).standard_normal((2, 4, 4, 4)).astype(np.float32)}
    config = AutoencoderConfig(
        latent_channels=4, widths=(8, 16), encoder_blocks=(1, 1), decoder_blocks=(1, 1), head_channels=8
    )
    modules: dict[str, nn.Module] = {"fewstep": PictureDecoder(Autoencoder(config))}
    modules |= {name: Decoding(some.build()) for name, some in CONFIGS.items()}
    for name, module in modules.items():
        yield (
            f"autoencoder, {name}",
            Component("decoder", _awake(module), ("latents",), ("image",)),
            _cases(feeds),
        )


def family(name: str) -> Iterator[Model]:
    """The components of a tiny diffusers pipeline, by its name in tiny_pipelines.py."""
    from tiny_pipelines import CASES  # type: ignore[import-not-found] # lies beside a test

    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        source = case.build(Path(folder))
        generator = load_generator(ExportConfig(str(source), Path("unused.fewstep"), size=case.size))
        generator = replace(generator, sampling=replace(generator.sampling, steps=case.steps))
        cases = fixed_cases(generator, generator.sampling.table())
        for component in generator.components:
            yield f"{case.family}: {component.name}", component, cases[component.name]


def _awake(module: nn.Module) -> nn.Module:
    """With random values where weights begin at zero, which would hide everything behind them."""
    for weight in module.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return module.eval().requires_grad_(False)


def _cases(feeds: Feeds) -> list[Case]:
    return [Case(feeds, {})]


def table(rows: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The table of docs/coreml.md: the worse of both targets."""
    lines = ["| model | FP32, exact | FP16, rounded |", "|---|---|---|"]
    for name, row in rows.items():
        full, half = (max(v for key, v in row.items() if key.startswith(p)) for p in ("fp32", "fp16"))
        lines.append(f"| {name} | {full:.1e} | {half:.1e} |")
    return lines


def main(names: Sequence[str]) -> None:
    """Measures the groups and families that are asked for, or everything; rows of earlier runs stay."""
    from tiny_pipelines import CASES

    warnings.simplefilter("ignore")
    rows = json.loads(RESULT.read_text())["models"] if RESULT.exists() else {}
    packages = ("coremltools", "diffusers", "transformers", "torch", "onnxruntime")
    own = {"backbones": backbones, "autoencoders": autoencoders}
    for group in names or (*own, *CASES):
        for name, component, cases in own[group]() if group in own else family(group):
            rows[name] = judge(component, cases)
            print(name, {key: f"{value:.1e}" for key, value in rows[name].items()}, flush=True)
            RESULT.write_text(
                json.dumps({**facts(*packages, threads=torch.get_num_threads()), "models": rows}, indent=1)
                + "\n"
            )
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    if rest:
        tail = rest.partition(END)[2]
        PAGE.write_text("\n".join([head + BEGIN, *table(rows), END + tail]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

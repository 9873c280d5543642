"""A small denoiser whose weights lie in two FP16 shards, as a checkpoint's do."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import save_file
from tests.export.checkpoints.conftest import checkpoint, tiny_pipelines  # noqa: F401 - fixtures

from fewstep_export.large.trace import LargeNetwork, trace
from fewstep_export.large.verify import Feeds
from fewstep_export.large.weights import WeightFiles
from fewstep_export.large.writer import write
from fewstep_models.sana import SanaConfig, SanaDenoiser

CONFIG = SanaConfig(latent_channels=4, size=8, width=64, depth=1, text_dim=32, time_dim=32)
INPUTS = {"latents": (2, 4, 8, 8), "timestep": (2,), "text_states": (2, 8, 32), "text_mask": (2, 8)}


@dataclass(frozen=True)
class Folder:
    """A source whose weights lie in a folder."""

    path: Path

    def network(self) -> LargeNetwork:
        with init_empty_weights(include_buffers=False):
            module = SanaDenoiser(CONFIG).eval()
        return LargeNetwork(
            "denoiser", module, {n: (s, torch.float32) for n, s in INPUTS.items()}, ("velocity",)
        )

    def weights(self) -> WeightFiles:
        return WeightFiles.open(self.path)


def save_shards(state: dict[str, torch.Tensor], folder: Path) -> None:
    """The tensors in two files and their index."""
    names, files = sorted(state), ("model-1.safetensors", "model-2.safetensors")
    where = {name: files[i % 2] for i, name in enumerate(names)}
    for file in files:
        save_file({n: state[n].contiguous() for n in names if where[n] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


@pytest.fixture(scope="session")
def module() -> SanaDenoiser:
    """The denoiser; every weight is random and fits FP16 exactly."""
    torch.manual_seed(0)
    network = SanaDenoiser(CONFIG).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.copy_((parameter + 0.05 * torch.randn(parameter.shape)).half().float())
    return network


@pytest.fixture(scope="session")
def source(module: SanaDenoiser, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Its weights on disk."""
    folder = tmp_path_factory.mktemp("weights")
    save_shards({name: value.half() for name, value in module.state_dict().items()}, folder)
    return Folder(folder)


@dataclass(frozen=True)
class Written:
    """A written graph, and what the writer said of its progress."""

    path: Path
    progress: list[tuple[int, int]]


@pytest.fixture(scope="session")
def written(source: Folder, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The denoiser's graph; tests only read it."""
    network, path = source.network(), tmp_path_factory.mktemp("graph") / "denoiser.onnx"
    progress: list[tuple[int, int]] = []
    write(network, trace(network), source.weights(), path, lambda done, total: progress.append((done, total)))
    return Written(path, progress)


@pytest.fixture
def feeds() -> Feeds:
    """Inputs of one picture."""
    rng = np.random.default_rng(0)
    values = {n: rng.standard_normal((1, *s[1:])).astype(np.float32) for n, s in INPUTS.items()}
    return {**values, "text_mask": np.ones((1, 8), dtype=np.float32)}

"""A tiny generator of the real classes with random weights, its exported graphs, and a bundle made of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from fewstep.network import Feeds
from fewstep.samplers import compile_table
from fewstep_export.checkpoints.native import build_native
from fewstep_export.components import Component, Generator
from fewstep_export.config import ExportConfig, Precision
from fewstep_export.exporter import export_generator
from fewstep_export.fixed_inputs import Cases, fixed_cases
from fewstep_export.onnx_export import Graphs, export_component
from fewstep_models.autoencoder import Autoencoder, AutoencoderConfig
from fewstep_models.checkpoint import Checkpoint, CheckpointConfig, LatentStatistics, SamplingDefaults
from fewstep_models.dit import DiTConfig
from fewstep_models.minilm import MiniLM, MiniLMConfig
from fewstep_models.sana import SanaConfig, SanaDenoiser

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "blue", "heart", "star", "cat", "flat", "style", ","]
torch.set_num_threads(1)  # the tiny models are too small for two, and the machine may be busy
LICENCE = {"what": "weights", "licence": "Apache-2.0", "credit": "the fewstep tests"}


def tiny_checkpoint() -> Checkpoint:
    """A checkpoint of 0.2 M parameters; every output layer is random, so that every weight matters."""
    torch.manual_seed(0)
    config = CheckpointConfig(
        name="tiny",
        autoencoder=AutoencoderConfig(
            latent_channels=4, widths=(8, 16, 32), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1)
        ),
        denoiser=SanaConfig(latent_channels=4, size=8, width=64, depth=2, text_dim=32, time_dim=32),
        latent=LatentStatistics((0.5, 1.0, 2.0, 1.5), (0.0, 0.1, 0.2, -0.1)),
        sampling=SamplingDefaults(shift=3.0, steps=4, guidance=3.0),
        image_size=32,
        max_length=8,
        styles=("flat",),
        examples=("a red heart", "a blue star"),
        licences=(LICENCE,),
    )
    assert isinstance(config.denoiser, SanaConfig)
    denoiser = SanaDenoiser(config.denoiser)
    torch.nn.init.normal_(denoiser.proj_out.weight, std=0.1)
    for name, weight in denoiser.named_parameters():
        if "cross_attention.to_out" in name:
            torch.nn.init.normal_(weight, std=0.1)
    autoencoder = Autoencoder(config.autoencoder)
    return Checkpoint(config, autoencoder.eval().requires_grad_(False), denoiser.eval().requires_grad_(False))


def tiny_text_encoder() -> MiniLM:
    """A text encoder for the tiny vocabulary."""
    torch.manual_seed(1)
    config = MiniLMConfig(vocabulary=len(WORDS), positions=16, width=32, layers=1, heads=2, ffn=64)
    return MiniLM(config).eval().requires_grad_(False)


def small_dit(depth: int) -> tuple[Component, Feeds]:
    """A DiT with heads of 32 channels and a table of 8 x 8 positions, and inputs of a batch of 2."""
    torch.manual_seed(0)
    config = DiTConfig(size=8, width=64, depth=depth, head_channels=32, text_dim=12)
    inputs = ("latents", "timestep", "text_states", "text_mask")
    shapes = ((2, 8, 8, 8), (2,), (2, 5, 12), (2, 5))
    feeds = {n: np.ones(s, np.float32) for n, s in zip(inputs, shapes, strict=True)}
    return Component("denoiser", config.build().eval(), inputs, ("velocity",)), feeds


def save_tokenizer(path: Path) -> Path:
    """A WordPiece tokenizer that adds [CLS] and [SEP]."""
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    """The tiny generator."""
    tokenizer = save_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json")
    return build_native(tiny_checkpoint(), "0" * 64, tiny_text_encoder(), tokenizer)


@pytest.fixture(scope="session")
def cases(tiny: Generator) -> Cases:
    """The fixed inputs of the tiny generator, with the outputs of torch."""
    return fixed_cases(tiny, compile_table("flow-dpm++2m", 4, 3.0))


@pytest.fixture(scope="session")
def graphs(tiny: Generator, cases: Cases) -> Graphs:
    """The FP32 graphs of the tiny generator by component."""
    return {c.name: export_component(c, cases[c.name][0].feeds) for c in tiny.components}


@pytest.fixture(scope="session")
def bundle(tiny: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the tiny generator; tests only read it."""
    return export_generator(tiny, ExportConfig("tiny", tmp_path_factory.mktemp("bundles") / "tiny.fewstep"))


COREML_PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "w8", "palette4")


@pytest.fixture(scope="session")
def coreml_bundle(tiny: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for ONNX Runtime and Core ML (iOS 17); tests only read it."""
    output = tmp_path_factory.mktemp("coreml-bundles") / "tiny.fewstep"
    return export_generator(tiny, ExportConfig("tiny", output, ("ort", "coreml"), COREML_PRECISIONS))

"""A small data set of drawn shapes, a text encoder and a teacher with random weights, and students of it."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.objectives import Objective
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_distillation.run_config import BankConfig, RunConfig
from fewstep_models.autoencoder import Autoencoder, AutoencoderConfig
from fewstep_models.checkpoint import Checkpoint, CheckpointConfig, LatentStatistics, SamplingDefaults
from fewstep_models.minilm import MiniLM, MiniLMConfig
from fewstep_models.sana import SanaConfig, SanaDenoiser

COLOURS = ("red", "green", "blue", "gold", "purple")
SHAPES = ("circle", "square")
GLYPHS = [f"{colour} {shape}" for shape in SHAPES for colour in COLOURS]
STYLES = ("noto", "twemoji", "fluent-flat")
SIZE = 32
CPU = torch.device("cpu")

torch.set_num_threads(1)  # the models are tiny; more threads only wait for each other on a busy machine


def draw(glyph: int, style: int) -> np.ndarray:
    """RGBA (32, 32, 4) uint8: a shape, smaller or with a border in other styles."""
    colour, shape = GLYPHS[glyph].split()
    picture = Image.new("RGBA", (SIZE, SIZE))
    box = (2 + 3 * style, 2, 28 - 2 * style, 29)
    outline = "black" if style == 1 else None
    pen = ImageDraw.Draw(picture)
    (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=colour, outline=outline, width=2)
    return np.asarray(picture)


def split_of(glyph: int, style: int) -> str:
    """The last glyph of each shape is `zero`; one style of the first glyphs is `compose`."""
    if glyph % len(COLOURS) == len(COLOURS) - 1:
        return "zero"
    return "compose" if glyph == style else "train"


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> EmojiDataset:
    """30 pictures in the format of `fewstep data build`."""
    folder, blob, lines = tmp_path_factory.mktemp("shapes"), b"", []
    for style, key in enumerate(STYLES):
        for glyph, name in enumerate(GLYPHS):
            stream = io.BytesIO()
            Image.fromarray(draw(glyph, style)).save(stream, "PNG")
            row = {
                "offset": len(blob), "size": len(stream.getvalue()), "style": key, "codepoints": f"{glyph:04x}",
                "name": name, "keywords": name.split(), "family": name, "group": "symbols", "subgroup": "geometric",
                "split": split_of(glyph, style), "licence": "Apache-2.0",
            }  # fmt: skip
            blob += stream.getvalue()
            lines.append(json.dumps(row))
    (folder / "images.bin").write_bytes(blob)
    (folder / "index.jsonl").write_text("\n".join(lines) + "\n")
    files = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("images.bin", "index.jsonl")
    }
    info = {"format": "fewstep-dataset", "version": 1, "sha256": files, "digest": files["images.bin"]}
    (folder / "dataset.json").write_text(json.dumps(info))
    return EmojiDataset(folder)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WordPiece tokenizer that knows the words of the shapes."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ",", "style", *COLOURS, *SHAPES]
    made = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


@pytest.fixture(scope="session")
def text_encoder() -> MiniLM:
    """A one-layer text encoder."""
    torch.manual_seed(1)
    config = MiniLMConfig(vocabulary=16, positions=32, width=32, layers=1, heads=2, ffn=64)
    return MiniLM(config).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    """A checkpoint with random weights, in the output layers too, so that prompt and noise matter."""
    torch.manual_seed(3)
    denoiser = SanaDenoiser(
        SanaConfig(latent_channels=4, size=8, width=64, depth=2, text_dim=32, time_dim=32)
    )
    config = CheckpointConfig(
        name="tiny",
        autoencoder=AutoencoderConfig(
            latent_channels=4, widths=(8, 16, 32), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1)
        ),
        denoiser=denoiser.config,
        latent=LatentStatistics((0.5, 1.0, 2.0, 1.5), (0.0, 0.1, 0.2, -0.1)),
        sampling=SamplingDefaults(shift=3.0, steps=3, guidance=3.0),
        image_size=SIZE,
        max_length=16,
        examples=("red circle", "blue square"),
    )
    torch.nn.init.normal_(denoiser.proj_out.weight, std=0.1)
    for name, weight in denoiser.named_parameters():
        if "cross_attention.to_out" in name:
            torch.nn.init.normal_(weight, std=0.1)
    autoencoder = Autoencoder(config.autoencoder)
    return Checkpoint(config, autoencoder.eval().requires_grad_(False), denoiser.eval().requires_grad_(False))


@pytest.fixture(scope="session")
def teacher(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint as a folder."""
    folder = tmp_path_factory.mktemp("teacher")
    checkpoint.save(folder)
    return folder


@pytest.fixture
def _tiny_text(text_encoder: MiniLM, tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny text encoder stands where training fetches the real one."""
    monkeypatch.setattr(MiniLM, "from_pretrained", lambda: text_encoder)
    for module in ("banks", "metrics.generators"):
        monkeypatch.setattr(f"fewstep_distillation.{module}.tokenizer_file", lambda: tokenizer)


Recipe = Callable[..., DistillationRecipe]


@pytest.fixture
def recipe(dataset: EmojiDataset, teacher: Path, tmp_path: Path, _tiny_text: None) -> Recipe:
    """A recipe of an objective: ``recipe(objective, steps=2, updates=3, name="student", lora_rank=0)``, batches of 4."""

    def make(
        objective: Objective, steps: int = 2, updates: int = 3, name: str = "student", lora_rank: int = 0
    ) -> DistillationRecipe:
        run = RunConfig(
            str(dataset.folder), str(tmp_path / name), updates, batch_size=4, warmup_steps=1, log_every=1
        )
        bank = BankConfig(captions_per_picture=2, augmented_copies=1)
        return DistillationRecipe(
            run, str(teacher), name, steps, lora_rank=lora_rank, bank=bank, objective=objective
        )

    return make

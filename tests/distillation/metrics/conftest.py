"""A small data set of drawn shapes, judges with random weights, and a tiny generator as checkpoint and as bundle."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.efficientnet import EfficientNetLite0
from fewstep_distillation.metrics.evaluate import Judges
from fewstep_distillation.metrics.features import ImageFeatures
from fewstep_distillation.metrics.image_text import ImageTextConfig, ImageTextHead
from fewstep_distillation.metrics.text import TextFeatures
from fewstep_models.autoencoder import Autoencoder, AutoencoderConfig
from fewstep_models.checkpoint import Checkpoint, CheckpointConfig, LatentStatistics, SamplingDefaults
from fewstep_models.minilm import MiniLM, MiniLMConfig
from fewstep_models.sana import SanaConfig, SanaDenoiser

COLOURS = ("red", "green", "blue", "gold", "purple")
SHAPES = ("circle", "square")
GLYPHS = [f"{colour} {shape}" for shape in SHAPES for colour in COLOURS]
STYLES = ("noto", "twemoji", "fluent-flat")
SIZE = 32


torch.set_num_threads(1)  # the models are tiny; more threads only wait for each other on a busy machine


USER_CACHE = os.environ.get("FEWSTEP_CACHE")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's cache is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSTEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _real_weights(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """But slow tests find the real weights in it."""
    if request.node.get_closest_marker("slow") is None:
        return
    if USER_CACHE is None:
        monkeypatch.delenv("FEWSTEP_CACHE")
    else:
        monkeypatch.setenv("FEWSTEP_CACHE", USER_CACHE)


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
def image_features() -> ImageFeatures:
    """The real network with random weights that keep the size of activations (He et al. 2015)."""
    torch.manual_seed(0)
    model = EfficientNetLite0()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return ImageFeatures(model.eval().requires_grad_(False))


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
def judges(image_features: ImageFeatures, text_encoder: MiniLM, tokenizer: Path) -> Judges:
    """Judges with random weights."""
    torch.manual_seed(2)
    head = ImageTextHead(ImageTextConfig(text_dim=32)).eval().requires_grad_(False)
    return Judges(image_features, TextFeatures(text_encoder, tokenizer), head)


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

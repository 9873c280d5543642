"""Latents and text states of a data set, encoded once and kept on the training device.

An example is one latent with a run of captions: the picture itself, geometrically augmented copies that share its captions, and
recoloured copies with captions of their own ("blue cat, flat style"), which teach that words compose.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from fewstep_distillation.data.captions import captions, recolour_caption
from fewstep_distillation.data.dataset import EmojiDataset, Row
from fewstep_distillation.data.recolour import recolour, recolourable
from fewstep_distillation.pictures import premultiply
from fewstep_distillation.recipe import FlowMatchingRecipe
from fewstep_models.autoencoder import Autoencoder
from fewstep_models.checkpoint import LatentStatistics
from fewstep_models.minilm import MiniLM, tokenizer_file


@dataclass(frozen=True)
class TextBank:
    """Text states (M, L, D) float16 and masks (M, L) float32; row 0 is the empty caption."""

    states: Tensor
    masks: Tensor


@dataclass(frozen=True)
class LatentBank:
    """Normalised latents (E, C, h, w), sampling weights (E,), and for each example its captions ``first .. first + count - 1``."""

    latents: Tensor
    weights: Tensor
    first: Tensor
    count: Tensor
    statistics: LatentStatistics


@dataclass(frozen=True)
class _Example:
    """A picture (H, W, 4) uint8, its sampling weight and captions; None shares the captions of the example before it."""

    picture: NDArray[np.uint8]
    weight: float
    captions: list[str] | None


def build_banks(
    dataset: EmojiDataset, autoencoder: Autoencoder, recipe: FlowMatchingRecipe, device: torch.device
) -> tuple[LatentBank, TextBank]:
    """Both banks of the training split."""
    indices = dataset.split("train")
    with ThreadPoolExecutor() as pool:  # pillow and numpy release the interpreter lock
        parts = pool.map(
            lambda i, picture: expand(dataset.rows[i], picture, recipe, i), indices, dataset.images(indices)
        )
        examples = [example for part in parts for example in part]
    texts, spans = [""], []
    for example in examples:
        if example.captions is not None:
            span = (len(texts), len(example.captions))
            texts += example.captions
        spans.append(span)
    latents = encode_pictures(np.stack([example.picture for example in examples]), autoencoder, device)
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    statistics = LatentStatistics(tuple((1 / std).tolist()), tuple(mean.tolist()))
    weights = torch.tensor([example.weight for example in examples], device=device)
    first, count = (torch.tensor(values, device=device) for values in zip(*spans, strict=True))
    return LatentBank(statistics.normalise(latents), weights, first, count, statistics), encode_texts(
        texts, device
    )


def expand(row: Row, picture: NDArray[np.uint8], recipe: FlowMatchingRecipe, index: int) -> list[_Example]:
    """The picture, its jittered copies, and its recoloured copies, by a generator of its own (seed, index)."""
    rng = np.random.default_rng((recipe.run.seed, index))
    weight = recipe.group_weights.get(row.group, 1.0)
    out = [_Example(picture, weight, captions(row, recipe.captions_per_picture, seed=index))]
    for _ in range(recipe.augmented_copies):
        out.append(
            _Example(jitter(picture, rng), weight * recipe.augmented_weight / recipe.augmented_copies, None)
        )
    for _ in range(recipe.recoloured_copies if recolourable(row.name, row.group) else 0):
        if (recoloured := recolour(picture, rng)) is not None:
            image, colour = recoloured
            texts = [recolour_caption(row, colour, rng) for _ in range(2)]
            out.append(_Example(image, weight * recipe.augmented_weight / recipe.recoloured_copies, texts))
    return out


def jitter(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture (H, W, 4) scaled to 84-100 % and placed anywhere inside its frame."""
    size = picture.shape[0]
    inner = round(size * rng.uniform(0.84, 1.0))
    y, x = rng.integers(0, size - inner + 1, 2)
    premultiplied = Image.fromarray(picture).convert("RGBa").resize((inner, inner), Image.Resampling.LANCZOS)
    out = np.zeros_like(picture)
    out[y : y + inner, x : x + inner] = np.asarray(premultiplied.convert("RGBA"))
    return out


@torch.no_grad()
def encode_pictures(
    pictures: NDArray[np.uint8], autoencoder: Autoencoder, device: torch.device, batch: int = 256
) -> Tensor:
    """RGBA (N, H, W, 4) uint8 -> latents (N, C, h, w) float32, not normalised."""
    autoencoder = autoencoder.to(device).eval()
    chunks = torch.from_numpy(pictures).split(batch)
    return torch.cat([autoencoder.encode(premultiply(chunk.to(device))) for chunk in chunks])


@torch.no_grad()
def encode_texts(texts: list[str], device: torch.device, max_length: int = 32, batch: int = 1024) -> TextBank:
    """Last hidden states of MiniLM, padded or truncated to ``max_length``."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file()))
    tokenizer.enable_padding(length=max_length)
    tokenizer.enable_truncation(max_length)
    encoded = tokenizer.encode_batch(texts)
    ids = torch.tensor([e.ids for e in encoded], dtype=torch.int32)
    masks = torch.tensor([e.attention_mask for e in encoded], dtype=torch.float32)
    encoder = MiniLM.from_pretrained().to(device)
    chunks = zip(ids.split(batch), masks.split(batch), strict=True)
    states = torch.cat([encoder(i.to(device), m.to(device)).half() for i, m in chunks])
    return TextBank(states, masks.to(device))

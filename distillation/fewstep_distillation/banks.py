"""Latents and text states of a data set, encoded once and kept on the training device.

An example is one latent with a run of captions: the picture itself, geometrically augmented copies that share its captions, and
recoloured copies with captions of their own ("blue cat, flat style"), which teach that words compose.
"""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from fewstep_distillation.data.captions import captions, recolour_caption
from fewstep_distillation.data.dataset import EmojiDataset, Row
from fewstep_distillation.data.recolour import recolour, recolourable
from fewstep_distillation.pictures import premultiply
from fewstep_distillation.run_config import BankConfig
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
    dataset: EmojiDataset,
    autoencoder: Autoencoder,
    config: BankConfig,
    seed: int,
    device: torch.device,
    statistics: LatentStatistics | None = None,
) -> tuple[LatentBank, TextBank]:
    """Both banks of the training split; latents are normalised by their own statistics unless others are given."""
    arrays = _cached(dataset, autoencoder, config, seed, device)
    latents = arrays["latents"]
    if statistics is None:
        mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
        statistics = LatentStatistics(tuple((1 / std).tolist()), tuple(mean.tolist()))
    bank = LatentBank(
        statistics.normalise(latents), arrays["weights"], arrays["first"], arrays["count"], statistics
    )
    return bank, TextBank(arrays["states"], arrays["masks"])


def _cached(
    dataset: EmojiDataset, autoencoder: Autoencoder, config: BankConfig, seed: int, device: torch.device
) -> dict[str, Tensor]:
    """The arrays of the banks on the device, from the cache if an equal run has left them there."""
    if not config.cache:
        return _encode(dataset, autoencoder, config, seed, device)
    facts = {**asdict(config), "cache": "", "seed": seed, "data": dataset.digest}
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, value in sorted(autoencoder.state_dict().items()):
        key.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    path = Path(config.cache) / f"{key.hexdigest()[:16]}.safetensors"
    if path.is_file():
        return {name: value.to(device) for name, value in load_file(path).items()}
    arrays = _encode(dataset, autoencoder, config, seed, device)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    save_file({name: value.contiguous() for name, value in arrays.items()}, part)
    part.replace(path)
    return arrays


def _encode(
    dataset: EmojiDataset, autoencoder: Autoencoder, config: BankConfig, seed: int, device: torch.device
) -> dict[str, Tensor]:
    indices = dataset.split("train")
    with ThreadPoolExecutor() as pool:  # pillow and numpy release the interpreter lock
        parts = pool.map(
            lambda i, picture: expand(dataset.rows[i], picture, config, seed, i),
            indices,
            dataset.images(indices),
        )
        examples = [example for part in parts for example in part]
    texts, spans = [""], []
    for example in examples:
        if example.captions is not None:
            span = (len(texts), len(example.captions))
            texts += example.captions
        spans.append(span)
    first, count = (torch.tensor(values, device=device) for values in zip(*spans, strict=True))
    text = encode_texts(texts, device)
    return {
        "latents": encode_pictures(np.stack([example.picture for example in examples]), autoencoder, device),
        "weights": torch.tensor([example.weight for example in examples], device=device),
        "first": first,
        "count": count,
        "states": text.states,
        "masks": text.masks,
    }


def expand(row: Row, picture: NDArray[np.uint8], config: BankConfig, seed: int, index: int) -> list[_Example]:
    """The picture, its jittered copies, and its recoloured copies, by a generator of its own (seed, index)."""
    rng = np.random.default_rng((seed, index))
    weight = config.group_weights.get(row.group, 1.0)
    out = [_Example(picture, weight, captions(row, config.captions_per_picture, seed=index))]
    for _ in range(config.augmented_copies):
        out.append(
            _Example(jitter(picture, rng), weight * config.augmented_weight / config.augmented_copies, None)
        )
    for _ in range(config.recoloured_copies if recolourable(row.name, row.group) else 0):
        if (recoloured := recolour(picture, rng)) is not None:
            image, colour = recoloured
            texts = [recolour_caption(row, colour, rng) for _ in range(2)]
            out.append(_Example(image, weight * config.augmented_weight / config.recoloured_copies, texts))
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

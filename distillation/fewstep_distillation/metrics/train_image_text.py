"""Trains the image-text head: ``python -m fewstep_distillation.metrics.train_image_text --data DATA --out FILE.safetensors``.

Two heads are trained. The first does without a tenth of the training split's families and says how well the
recipe carries over to concepts that it never saw; the second learns from the whole training split and is the
one that is written, with the retrieval of the `zero` concepts, unseen by it, in the JSON file beside it.
"""

import argparse
import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fewstep import atomic
from fewstep_distillation.data.captions import captions
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.cache import Array
from fewstep_distillation.metrics.features import ImageFeatures
from fewstep_distillation.metrics.image_text import ImageTextConfig, ImageTextHead
from fewstep_distillation.metrics.references import References
from fewstep_distillation.metrics.retrieval import Retrieval, retrieval
from fewstep_distillation.metrics.text import TextFeatures
from fewstep_models.checkpoint import save_weights


@dataclass(frozen=True)
class HeadTraining:
    """How a head is trained: AdamW with a cosine to zero; a batch holds each name at most once, so that all its negatives are.

    ``name_share`` of the texts are the bare name, the others one of a picture's ``captions``.
    """

    steps: int = 1500
    batch_size: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 0.2
    captions: int = 3
    name_share: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class Pairs:
    """Image features (R, 1280), features of each row's texts (R, K, 384) with the bare name first, and each row's name id (R,)."""

    images: Array
    texts: Array
    names: NDArray[np.intp]

    def take(self, rows: NDArray[np.intp]) -> "Pairs":
        """The pairs of some rows."""
        return Pairs(self.images[rows], self.texts[rows], self.names[rows])


def pairs_of(references: References, text_features: TextFeatures, training: HeadTraining) -> Pairs:
    """The features of every row of a data set with its texts."""
    texts = [
        [row.name.lower(), *captions(row, training.captions, seed=i)] for i, row in enumerate(references.rows)
    ]
    distinct = sorted({text for row in texts for text in row})
    features, place = text_features(distinct), {text: i for i, text in enumerate(distinct)}
    indices = np.array([[place[text] for text in row] for row in texts])
    name_ids = {name: i for i, name in enumerate(references.names)}
    names = np.array([name_ids[row.name.lower()] for row in references.rows])
    return Pairs(references.features, features[indices], names)


def train_head(
    pairs: Pairs, training: HeadTraining = HeadTraining(), config: ImageTextConfig | None = None
) -> ImageTextHead:
    """A head trained on all the pairs, in evaluation mode."""
    rng = np.random.default_rng(training.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        head = ImageTextHead(config).train()
        optimizer = torch.optim.AdamW(
            head.parameters(), training.learning_rate, weight_decay=training.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.steps)
        for _ in range(training.steps):
            loss = head.loss(*map(torch.from_numpy, _batch(pairs, training, rng)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return head.eval().requires_grad_(False)


def _batch(pairs: Pairs, training: HeadTraining, rng: np.random.Generator) -> tuple[Array, Array]:
    """One random picture of each of ``batch_size`` random names, and one text of each."""
    order = rng.permutation(len(pairs.names))
    _, first = np.unique(pairs.names[order], return_index=True)  # the first row of each name in random order
    rows = order[rng.permutation(first)[: training.batch_size]]
    columns = rng.integers(1, pairs.texts.shape[1], len(rows))
    columns[rng.random(len(rows)) < training.name_share] = 0
    return pairs.images[rows], pairs.texts[rows, columns]


def name_retrieval(head: ImageTextHead, pairs: Pairs) -> Retrieval:
    """Each picture's own name among the distinct names of all the pairs."""
    _, first, own = np.unique(pairs.names, return_index=True, return_inverse=True)
    return retrieval(head.similarity(pairs.images, pairs.texts[first, 0]), own)


def held_out_families(references: References, share: float = 0.1) -> NDArray[np.bool_]:
    """Which rows (R,) belong to the tenth of families, by a stable hash, that the first head does not see."""

    def value(family: str) -> float:
        return int(hashlib.sha256(f"image-text:{family}".encode()).hexdigest()[:8], 16) / 2**32

    return np.array([value(row.family) < share for row in references.rows])


def main() -> None:
    """Trains, measures and writes the head."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--device", default="cpu", help="where features are computed; the head is trained on the CPU"
    )
    options = parser.parse_args()

    dataset, training = EmojiDataset(options.data), HeadTraining()
    references = References.of(dataset, ImageFeatures.from_pretrained(device=options.device))
    pairs = pairs_of(references, TextFeatures.from_pretrained(device=options.device), training)
    train, zero, unseen = references.split("train"), references.split("zero"), held_out_families(references)

    probe = train_head(pairs.take(train[~unseen[train]]), training)
    head = train_head(pairs.take(train), training)
    facts = {
        "what": "image-text head on EfficientNet-lite0 and MiniLM features; a picture's own name is to be found",
        "training": asdict(training),
        "config": asdict(ImageTextConfig()),
        "dataset": dataset.digest,
        "recipe_on_a_tenth_of_families_left_out": asdict(
            name_retrieval(probe, pairs.take(train[unseen[train]]))
        ),
        "zero_pictures_among_zero_names": asdict(name_retrieval(head, pairs.take(zero))),
        "train_pictures_among_train_names": asdict(name_retrieval(head, pairs.take(train))),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(head, options.out)
    atomic.write_bytes(options.out.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
    print(json.dumps(facts, indent=1), file=sys.stderr)


if __name__ == "__main__":
    main()

"""The metrics with their real weights on real pictures; needs the built data set and, on first use, the network."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.evaluate import Judges
from fewstep_distillation.metrics.features import ImageFeatures, Pictures
from fewstep_distillation.metrics.frechet import Gaussian, frechet_distance
from fewstep_distillation.metrics.kernel_distance import kernel_distance
from fewstep_distillation.metrics.retrieval import retrieval

pytestmark = pytest.mark.slow
DATA = Path(os.environ.get("FEWSTEP_DATA", Path(__file__).parents[3] / "data" / "emoji-128"))
Change = Callable[[Image.Image], Image.Image]


def real_dataset() -> EmojiDataset:
    """The data set; skips where it was not built."""
    if not (DATA / "dataset.json").is_file():
        pytest.skip(f"no data set in {DATA}; run `fewstep data build emoji`")
    return EmojiDataset(DATA)


def changed(pictures: Pictures, change: Change) -> Pictures:
    return np.stack([np.asarray(change(Image.fromarray(picture))) for picture in pictures])


def blur(radius: float) -> Change:
    # In premultiplied colour, or the hidden colour of empty pixels bleeds in.
    return lambda image: image.convert("RGBa").filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")


def jpeg(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=20)
    compressed = Image.open(stream).convert("RGB")
    compressed.putalpha(image.getchannel("A"))
    return compressed


def test_distances_order_damage_as_the_eye_does() -> None:
    dataset = real_dataset()
    rng, network = np.random.default_rng(0), ImageFeatures.from_pretrained()
    order = rng.permutation(len(dataset)).tolist()
    reference, pictures = network(dataset.images(order[:300])), dataset.images(order[300:600])
    noisy = (
        (pictures + rng.normal(0, 20, pictures.shape) * (pictures[..., 3:] > 0)).clip(0, 255).astype(np.uint8)
    )
    features = {
        "clean": network(pictures),
        "blur 1": network(changed(pictures, blur(1))),
        "blur 3": network(changed(pictures, blur(3))),
        "jpeg": network(changed(pictures, jpeg)),
        "noise": network(noisy),
    }
    gaussian = Gaussian.of(reference)
    frechet = {name: frechet_distance(gaussian, Gaussian.of(f)) for name, f in features.items()}
    kernel = {
        name: kernel_distance(f, reference, subsets=10, subset_size=200).mean for name, f in features.items()
    }
    for distance in (frechet, kernel):
        assert distance["clean"] < distance["blur 1"] < distance["blur 3"]
        assert distance["clean"] < min(distance["jpeg"], distance["noise"])


def test_shuffled_captions_lower_the_score_of_the_text() -> None:
    """300 pictures of things that the judge has not seen, with their own names and with those of others."""
    dataset, judges = real_dataset(), Judges.default()
    rows = [i for i, row in enumerate(dataset.rows) if row.split == "zero"][:300]
    names = sorted({dataset.rows[i].name.lower() for i in rows})
    own = np.array([names.index(dataset.rows[i].name.lower()) for i in rows])
    similarity = judges.head.similarity(
        judges.image_features(dataset.images(rows)), judges.text_features(names)
    )
    right = retrieval(similarity, own)
    wrong = retrieval(similarity, np.random.default_rng(0).permutation(own))
    for name in ("similarity", "r1", "r5", "r10"):
        assert wrong.intervals[name][1] < right.intervals[name][0], name

"""How often a generator repeats pictures of its training set.

A picture's nearness is the largest cosine of its EfficientNet-lite0 features (minus their mean over the
training pictures) to any training picture, read against that of held-out pictures (the idea of Stein et al.
2023, arXiv:2306.04675, on memorisation). Here the held-out pictures are the real ones of the `zero` split: 5
% of them stand above the threshold by definition, so a copy rate near 0.05 is that of drawing something new.
In features alone the same glyph in the same drawing style is near, too; a near-duplicate is counted apart, in
pixels:

    rms distance of 32 x 32 premultiplied RGBA < ``DUPLICATE_RMS``

A prompt of the training split asks for a picture that was seen, so look at `zero` and `compose` prompts for
copying, and at the same rates of the real pictures: two of the nine styles are one artist's drawings with
other shading, so of the real `compose` pictures 15 % have a near-duplicate in training.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewstep_distillation.metrics.bootstrap import Interval, mean_interval
from fewstep_distillation.metrics.cache import Array
from fewstep_distillation.metrics.retrieval import centred_cosine

QUANTILE = 0.95
DUPLICATE_RMS = 0.05
"""13 of 255 levels. By eye, pairs of real pictures below it are one drawing with other shading, above it the motif differs."""
_CHUNK = 256


@dataclass(frozen=True)
class CopyRate:
    """Share of pictures nearer than the threshold, share of near-duplicates in pixels, and the median nearness; 95 % intervals of the shares."""

    pictures: int
    copies: float
    near_duplicates: float
    median_nearness: float
    intervals: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class CopyDetector:
    """The training pictures (features (T, d), codes (T, P)) and the threshold of nearness."""

    features: Array
    codes: Array
    centre: Array
    threshold: float

    @classmethod
    def of(cls, features: Array, codes: Array, unseen: Array) -> "CopyDetector":
        """A detector whose threshold is the 95th percentile of the nearness of real unseen pictures with features (Z, d)."""
        centre = features.mean(0)
        nearness = _nearness(unseen, features, centre)
        return cls(features, codes, centre, float(np.quantile(nearness, QUANTILE)))

    def rate(self, features: Array, codes: Array) -> CopyRate:
        """The rates of pictures with features (N, d) and pixel codes (N, P)."""
        nearness = _nearness(features, self.features, self.centre)
        duplicates = nearest_rms(codes, self.codes) < DUPLICATE_RMS
        copies = nearness > self.threshold
        shares = {"copies": copies, "near_duplicates": duplicates}
        return CopyRate(
            len(features),
            float(copies.mean()),
            float(duplicates.mean()),
            float(np.median(nearness)),
            {name: mean_interval(share) for name, share in shares.items()},
        )


def nearest_rms(codes: Array, training: Array) -> NDArray[np.float64]:
    """Root mean square distance (N,) of codes (N, P) to the nearest of (T, P)."""
    lengths = np.square(training, dtype=np.float64).sum(1)
    squared = [
        np.square(part, dtype=np.float64).sum(1) + (lengths - 2.0 * (part @ training.T)).min(1)
        for part in _chunks(codes)
    ]
    return np.sqrt(np.concatenate(squared).clip(min=0) / codes.shape[1])


def _nearness(features: Array, training: Array, centre: Array) -> NDArray[np.float32]:
    return np.concatenate([centred_cosine(part, training, centre).max(1) for part in _chunks(features)])


def _chunks(array: Array) -> list[Array]:
    return [array[start : start + _CHUNK] for start in range(0, len(array), _CHUNK)]

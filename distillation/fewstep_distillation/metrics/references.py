"""The real pictures of a data set as the metrics see them: features, nearest-picture codes, names."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fewstep_distillation.data.dataset import EmojiDataset, Row, Split
from fewstep_distillation.metrics.cache import Array, cached
from fewstep_distillation.metrics.features import ImageFeatures
from fewstep_distillation.metrics.pixels import pixel_codes

_CHUNK = 512  # pictures decoded at a time, 34 MB at 128 px


@dataclass(frozen=True)
class References:
    """Features (R, 1280) and pixel codes (R, P) of all rows of a data set, both float32."""

    rows: tuple[Row, ...]
    features: Array
    codes: Array

    @classmethod
    def of(
        cls,
        dataset: EmojiDataset,
        image_features: ImageFeatures,
        on_progress: Callable[[int], object] = lambda done: None,
    ) -> "References":
        """Computed once a data set and backend, then read from the cache."""

        def of_all(function: Callable[[NDArray[np.uint8]], Array]) -> Array:
            starts = range(0, len(dataset), _CHUNK)
            parts = []
            for start in starts:
                indices = range(start, min(start + _CHUNK, len(dataset)))
                parts.append(function(dataset.images(indices)))
                on_progress(indices.stop)
            return np.concatenate(parts)

        features = cached(
            "features", f"{dataset.digest} {image_features.name}", lambda: of_all(image_features)
        )
        codes = cached("pixels", f"{dataset.digest} pixels/1", lambda: of_all(pixel_codes))
        return cls(tuple(dataset.rows), features, codes)

    def split(self, *names: Split) -> NDArray[np.intp]:
        """Indices of the rows of some splits, in order."""
        return np.array([i for i, row in enumerate(self.rows) if row.split in names], dtype=np.intp)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The distinct glyph names in lower case, sorted: the candidates of text-image retrieval."""
        return tuple(sorted({row.name.lower() for row in self.rows}))

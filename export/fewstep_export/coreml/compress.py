"""Weights of an FP16 package in fewer bits, by coremltools.optimize; the packages stay FP16 in their arithmetic.

coremltools' `enable_per_channel_scale` is left alone: with groups of channels it damages weights that it reports as skipped (its
pull request 2777).
"""

import contextlib
import io
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import coremltools as ct
import coremltools.optimize.coreml as cto
import numpy as np

from fewstep_export.components import Array
from fewstep_export.config import Precision
from fewstep_export.coreml.mixed_bits import SMALLEST, Stored
from fewstep_export.coreml.package import overwrite
from fewstep_export.package_config import MinimumTarget


@dataclass(frozen=True)
class Scheme:
    """A way to store weights.

    Attributes:
        compress: what coremltools does to every weight; None where `mixed_bits` chooses palettes.
        palettes: the bits that `mixed_bits` may choose, and how many a weight may have on average.
        tolerance: of a component, relative to its largest output; a gross check, since pictures are what counts.
        minimum_psnr: of whole pictures in dB; a student of few steps answers small errors with another picture that is as good, so that
            this is a gross check too.
    """

    compress: cto.OpLinearQuantizerConfig | None
    palettes: tuple[tuple[int, ...], float]
    tolerance: float
    minimum_psnr: float


_W8 = cto.OpLinearQuantizerConfig(
    mode="linear_symmetric", dtype="int8", granularity="per_channel", weight_threshold=SMALLEST
)
_W4 = cto.OpLinearQuantizerConfig(
    mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=32, weight_threshold=SMALLEST
)
_NONE: tuple[tuple[int, ...], float] = ((), 0.0)
SCHEMES: Mapping[Precision, Scheme] = {
    "int8": Scheme(_W8, _NONE, tolerance=1.0, minimum_psnr=8.0),
    "w8": Scheme(_W8, _NONE, tolerance=0.3, minimum_psnr=12.0),
    "w4": Scheme(_W4, _NONE, tolerance=0.8, minimum_psnr=8.0),
    "palette6": Scheme(None, ((6,), 7.0), tolerance=0.8, minimum_psnr=8.0),
    "palette4": Scheme(None, ((4,), 5.0), tolerance=0.8, minimum_psnr=8.0),
    "palette-mixed": Scheme(None, ((3, 4, 6, 8), 4.5), tolerance=0.8, minimum_psnr=8.0),
}
"""By precision. A palette is a table of 2^bits values for some output channels; w8 has a scale a channel, w4 one for 32 weights; int8
is w8 for components whose activations stay FP16."""


_BEFORE_IOS18 = frozenset({1, 2, 4, 6, 8})
"""Bits of an index into a palette that iOS 17 knows: palettes of 2, 4, 16, 64 or 256 values, by Apple's description of the operator."""


def index_bits(choices: Sequence[int], target: MinimumTarget) -> tuple[int, ...]:
    """Those of the choices that indices may have on the oldest system that loads the package."""
    return tuple(bits for bits in choices if target != "iOS17" or bits in _BEFORE_IOS18)


def compress(source: Path, path: Path, precision: Precision) -> None:
    """Writes an FP16 package, the folder `source`, with all its weights in fewer bits to the new folder `path`."""
    scheme = SCHEMES[precision].compress
    assert scheme is not None
    _write(source, path, cto.OptimizationConfig(global_config=scheme))


def palettize(
    source: Path, path: Path, chosen: Mapping[str, Stored], others: Mapping[str, Array] | None = None
) -> None:
    """Writes an FP16 package, the folder `source`, with these weights as indices into their palettes to the new folder `path`.

    `others` are other values of constants without palettes, in the package's types.

    coremltools is given weights that have few values already, and packs them. Its own mode for that, "unique", sorts rows of numbers: 14 GB
    and minutes for 12 M words' values.
    """
    named = {
        name: cto.OpPalettizerConfig(
            mode="custom", lut_function=_palette(stored.form.bits), weight_threshold=0, **_sharing(stored)
        )
        for name, stored in chosen.items()
    }
    with TemporaryDirectory() as folder:
        rounded = Path(shutil.copytree(source, Path(folder) / "rounded.mlpackage"))
        overwrite(
            rounded,
            {name: stored.values.numpy().astype(np.float16) for name, stored in chosen.items()}
            | dict(others or {}),
        )
        _write(rounded, path, cto.OptimizationConfig(op_name_configs=named))


def _palette(bits: int) -> Callable[[Array], tuple[Array, Array]]:
    """Splits FP16 weights with at most 2^bits values into their palette and the indices of all of them (n,) uint8."""

    def split(weight: Array) -> tuple[Array, Array]:
        values, indices = _distinct(weight.reshape(-1))
        palette = np.zeros(2**bits, np.float16)
        palette[: len(values)] = values
        return palette, indices

    return split


def _distinct(weights: Array) -> tuple[Array, Array]:
    """The different values of FP16 weights (n,), and which of them each is; by a table of all 2^16, without sorting."""
    codes = np.ascontiguousarray(weights, np.float16).view(np.uint16)
    found = np.flatnonzero(np.bincount(codes, minlength=2**16))
    places = np.zeros(2**16, np.uint8)
    places[found] = np.arange(len(found))
    return found.astype(np.uint16).view(np.float16), places[codes]


def _sharing(stored: Stored) -> dict[str, Any]:
    if stored.form.groups(len(stored.values)) == 1:
        return {}
    return {"granularity": "per_grouped_channel", "group_size": stored.form.channels}


def _write(source: Path, path: Path, config: cto.OptimizationConfig) -> None:
    run = cto.palettize_weights if config.global_config is None else cto.linear_quantize_weights
    with quiet():
        run(ct.models.MLModel(str(source), skip_model_load=True), config).save(str(path))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without coremltools' progress bars, its remarks on weights that stay FP16, and scikit-learn's on weights of few values."""
    level = logging.root.level
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.root.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logging.root.setLevel(level)

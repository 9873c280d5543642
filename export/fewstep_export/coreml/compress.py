"""Weights of an FP16 package in fewer bits, by coremltools.optimize; the packages stay FP16 in their arithmetic.

coremltools' `enable_per_channel_scale` is left alone: with groups of channels it damages weights that it reports as skipped (its
pull request 2777).
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import coremltools as ct
import coremltools.optimize.coreml as cto

from fewstep_export.config import Precision

Bits = Mapping[str, int]
"""Bits of a palette by the name of the weight."""
SMALLEST = 512
"""Weights with fewer values stay FP16: their palette or scales would cost what they save."""


@dataclass(frozen=True)
class Scheme:
    """A way to store weights.

    Attributes:
        compress: what coremltools does to every weight; None where `mixed_bits` chooses for each.
        tolerance: of a component, relative to its largest output; a gross check, since pictures are what counts.
        minimum_psnr: of whole pictures in dB.
    """

    compress: cto.OpLinearQuantizerConfig | cto.OpPalettizerConfig | None
    tolerance: float
    minimum_psnr: float


def _palette(bits: int) -> cto.OpPalettizerConfig:
    return cto.OpPalettizerConfig(mode="kmeans", nbits=bits, weight_threshold=SMALLEST)


_W8 = cto.OpLinearQuantizerConfig(
    mode="linear_symmetric", dtype="int8", granularity="per_channel", weight_threshold=SMALLEST
)
_W4 = cto.OpLinearQuantizerConfig(
    mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=32, weight_threshold=SMALLEST
)
SCHEMES: Mapping[Precision, Scheme] = {
    "w8": Scheme(_W8, tolerance=0.1, minimum_psnr=25.0),
    "w4": Scheme(_W4, tolerance=0.5, minimum_psnr=10.0),
    "palette6": Scheme(_palette(6), tolerance=0.2, minimum_psnr=20.0),
    "palette4": Scheme(_palette(4), tolerance=0.5, minimum_psnr=10.0),
    "palette-mixed": Scheme(None, tolerance=0.5, minimum_psnr=10.0),
}
"""By precision. A palette is one table of values a tensor, found by k-means; w8 has a scale a channel, w4 one for 32 weights."""


def compress(source: Path, path: Path, precision: Precision) -> None:
    """Writes an FP16 package, the folder `source`, with all its weights in fewer bits to the new folder `path`."""
    scheme = SCHEMES[precision].compress
    assert scheme is not None
    _write(source, path, cto.OptimizationConfig(global_config=scheme))


def palettize(source: Path, path: Path, bits: Bits) -> None:
    """Writes an FP16 package, the folder `source`, with these weights in so many bits to the new folder `path`."""
    named = {name: _palette(count) for name, count in bits.items()}
    _write(source, path, cto.OptimizationConfig(op_name_configs=named))


def _write(source: Path, path: Path, config: cto.OptimizationConfig) -> None:
    linear = isinstance(config.global_config, cto.OpLinearQuantizerConfig)
    run = cto.linear_quantize_weights if linear else cto.palettize_weights
    with quiet():
        run(ct.models.MLModel(str(source), skip_model_load=True), config).save(str(path))


def weight_sizes(source: Path) -> Mapping[str, int]:
    """The number of values of every weight that is compressed, by name."""
    with quiet():
        model = ct.models.MLModel(str(source), skip_model_load=True)
        found = cto.get_weights_metadata(model, weight_threshold=SMALLEST)
    return {name: metadata.val.size for name, metadata in found.items()}


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

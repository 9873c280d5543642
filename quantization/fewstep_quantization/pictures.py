"""Pictures drawn by graphs in memory, in the runtime's own loop, and how far two sets of them are apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log10

import numpy as np
import numpy.typing as npt
import onnx

from fewstep.bundle import Bundle
from fewstep.network import Network
from fewstep.text_to_image import TextToImage
from fewstep.tokenizer import Tokenizer

Graphs = Mapping[str, onnx.ModelProto]
"""Graphs by component."""
Pictures = npt.NDArray[np.float32]
"""(B, channels, H, W), RGB or premultiplied RGBA, in [0, 1]."""


@dataclass(frozen=True)
class Source:
    """A bundle, for everything around the graphs."""

    bundle: Bundle

    def text_to_image(self, networks: Mapping[str, Network]) -> TextToImage:
        """The bundle's model with these networks inside."""
        manifest = self.bundle.manifest
        return TextToImage(networks, self.tokenizers(), manifest.guidance, manifest.latent)

    def tokenizers(self) -> list[Tokenizer]:
        """Those of the bundle."""
        return [Tokenizer.load(self.bundle.file(file.file), file) for file in self.bundle.manifest.tokenizers]


def psnr(found: Pictures, expected: Pictures) -> list[float]:
    """Peak signal-to-noise ratio 10 log10(1 / MSE) in dB of every picture; 0 for values that are not finite."""
    errors = np.square(found.astype(np.float64) - expected).mean(axis=(1, 2, 3))
    return [10 * log10(1 / max(float(e), 1e-20)) if np.isfinite(e) else 0.0 for e in errors]


def relative_error(found: Pictures, expected: Pictures) -> float:
    """||found - expected|| / ||expected|| in the Euclidean norm."""
    return float(np.linalg.norm(found.astype(np.float64) - expected) / np.linalg.norm(expected))

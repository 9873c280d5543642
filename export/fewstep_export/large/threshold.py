"""Which checkpoints are exported one component at a time."""

from collections.abc import Mapping
from math import prod
from pathlib import Path

from fewstep.errors import FewstepError
from fewstep_export.checkpoints.weights import find_weights
from fewstep_export.config import ExportConfig
from fewstep_export.large.memory import FLOAT
from fewstep_export.large.weights import WeightFiles

INDEX = "model_index.json"
_COMPONENTS = {
    "text_encoder": "text_encoder",
    "unet": "denoiser",
    "transformer": "denoiser",
    "vae": "decoder",
}
"""Component by the first letters of a part's name."""


def is_large(config: ExportConfig) -> bool:
    """Whether the source is a diffusers folder with a component whose float32 weights are above the threshold."""
    source = Path(config.source)
    if not (source / INDEX).is_file():
        return False
    return max(component_bytes(source).values(), default=0) > 1e9 * config.large.threshold


def component_bytes(source: Path) -> Mapping[str, int]:
    """Bytes of the float32 weights of each component of a diffusers folder; parts without safetensors files are left out."""
    total: dict[str, int] = {}
    for part in sorted(path for path in source.iterdir() if path.is_dir()):
        component = next((c for prefix, c in _COMPONENTS.items() if part.name.startswith(prefix)), None)
        if component is not None:
            total[component] = total.get(component, 0) + _bytes(part)
    return total


def _bytes(part: Path) -> int:
    try:
        shapes = WeightFiles.read_heads(find_weights(part).files).shapes
    except FewstepError:
        return 0  # whoever reads the weights says what is wrong
    return sum(FLOAT * prod(shape) for shape in shapes.values())

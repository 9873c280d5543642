"""Which layers take eight-bit inputs, and in what range.

A range is the part of the largest value that makes the mean squared error of rounding least: what lies beyond is clipped. Inputs with
long tails, such as those behind a gate, lose more in eight bits than a layer can bear, whatever the range; such layers keep FP16.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from fewstep.network import Feeds
from fewstep_export.session import tensors
from fewstep_export.tensorrt.qdq import activation_ranges

LEAST = 25.0
"""Signal to rounding noise in dB below which a layer keeps FP16."""
_LEVELS = 127
_PARTS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
_SAMPLES = 20_000
"""Values of a tensor that are looked at."""
Values = npt.NDArray[np.float32]


def eight_bit_ranges(
    model: onnx.ModelProto, cases: Sequence[Feeds], least: float = LEAST
) -> Mapping[str, float]:
    """By node with weights, the range of its input; those that eight bits would spoil are left out.

    Args:
        model: the FP32 graph.
        cases: inputs of it.
        least: signal to noise in dB that eight bits must leave.
    """
    layers = activation_ranges(model, cases[:1])
    inputs = {node.name: node.input[0] for node in model.graph.node if node.name in layers}
    seen: dict[str, list[Values]] = {name: [] for name in inputs.values()}
    peaks = dict.fromkeys(seen, 0.0)
    for feeds in cases:
        values = {**feeds, **tensors(model, feeds)}
        for name, samples in seen.items():
            samples.append(values[name].reshape(-1)[:: -(-values[name].size // _SAMPLES)].astype(np.float32))
            peaks[name] = max(peaks[name], float(np.abs(values[name]).max()))
    chosen = {name: best_range(np.concatenate(samples), peaks[name]) for name, samples in seen.items()}
    return {node: chosen[name][0] for node, name in inputs.items() if chosen[name][1] >= least}


def best_range(values: Values, peak: float) -> tuple[float, float]:
    """The range of least error for these values, of which `peak` is the largest, and its signal to noise in dB."""
    power = float(np.square(values).mean())
    if not (peak and power):
        return 0.0, 0.0
    errors = {part * peak: _error(values, part * peak) for part in _PARTS}
    best = min(errors, key=lambda limit: errors[limit])
    return best, float(10 * np.log10(power / max(errors[best], 1e-30)))


def _error(values: Values, limit: float) -> float:
    scale = limit / _LEVELS
    rounded = np.clip(np.rint(values / scale), -_LEVELS, _LEVELS) * scale
    return float(np.square(rounded - values).mean())

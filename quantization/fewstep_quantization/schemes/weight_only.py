"""Weight-only INT8 and INT4: small files (`com.microsoft.MatMulNBits`).

Every block of 64 (8 bits) or 32 (4 bits) weights of one output has a scale of its own. Level 4 lets ONNX Runtime round the activations to
8 bits inside the kernel, a scale for each row and block: the float kernel took 23 ms where this takes 9 and FP32 10 (32 tokens, 22 M weights).
"""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx

from fewstep_quantization.affine import least_step
from fewstep_quantization.calibration.gram import Gram
from fewstep_quantization.graph import CONTRIB, Rewriter
from fewstep_quantization.linear_rewrite import replace_linears
from fewstep_quantization.linears import FloatArray, Linear
from fewstep_quantization.rounding import round_weights

Bits = Literal[4, 8]
_LEVEL = 4
BLOCK: Mapping[Bits, int] = {4: 32, 8: 64}
_FACTORS = tuple(sign * size for size in (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7) for sign in (1, -1))


def to_weight_only(
    model: onnx.ModelProto,
    bits: Bits,
    exclude: Collection[str] = (),
    noise: float = 0.0,
    grams: Mapping[str, Gram] | None = None,
) -> onnx.ModelProto:
    """The graph with the weights of its linear layers in blocks of so many bits; those named in `exclude` stay float.

    `noise` is that of `quantise_weights`; `grams`, by tensor, tell what the inputs of the layers are: rounding then minds it.
    """
    return replace_linears(model, exclude, partial(_write, bits=bits, noise=noise, grams=grams or {}))


def quantise_blocks(
    weights: FloatArray, bits: Bits, noise: float = 0.0, gram: npt.NDArray[np.float64] | None = None
) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Weights (K, N) as unsigned numbers around 2^(bits-1): (N, ceil(K / b), b bits / 8) uint8 and scales (N, ceil(K / b)), b weights a block.

    Without X^T X (K, K) of the inputs each weight goes to the nearest number.
    """
    middle, size = 2 ** (bits - 1), BLOCK[bits]
    blocks = np.pad(weights.T, ((0, 0), (0, -len(weights) % size))).reshape(weights.shape[1], -1, size)
    scales = _scales(blocks, middle, least_step(weights, noise))
    if bits == 4:
        scales = _fitted(blocks, scales, middle)
    steps = np.repeat(scales, size, axis=1)[:, : len(weights)].T
    if gram is None:
        levels = _levels(weights, steps, middle).astype(np.int8)
    else:
        levels = round_weights(weights, steps, gram, (-middle, middle - 1))
    padded = np.pad(levels.T, ((0, 0), (0, -len(weights) % size))).astype(np.int16) + middle
    numbers = padded.astype(np.uint8).reshape(blocks.shape)
    packed = numbers if bits == 8 else numbers[..., 0::2] | (numbers[..., 1::2] << 4)
    return np.ascontiguousarray(packed), scales


def _levels(weights: FloatArray, steps: FloatArray, middle: int) -> FloatArray:
    return np.asarray(np.clip(np.rint(weights / steps), -middle, middle - 1), dtype=np.float32)


def _scales(blocks: FloatArray, middle: int, least: float) -> FloatArray:
    """One for each block (N, B, b) -> (N, B): its largest absolute value becomes -2^(bits-1), which symmetric rounding would leave unused."""
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2, keepdims=True), axis=2)[..., 0]
    scales = np.where(np.abs(extreme) < least * middle, least, extreme / -middle)
    return np.where(scales == 0, 1.0, scales).astype(np.float32)


def _fitted(blocks: FloatArray, scales: FloatArray, middle: int) -> FloatArray:
    """The scale of each block that errs least (squares) of these, smaller ones and those of the other sign, whose extra level is at the other end."""
    best, least = scales, np.full(scales.shape, np.inf, dtype=np.float32)
    for factor in _FACTORS:
        steps = scales * np.float32(factor)
        error = np.square(blocks - _levels(blocks, steps[..., None], middle) * steps[..., None]).sum(axis=2)
        best, least = np.where(error < least, steps, best), np.minimum(error, least)
    return best


def _write(graph: Rewriter, linear: Linear, bits: Bits, noise: float, grams: Mapping[str, Gram]) -> None:
    gram = grams[linear.input].value if linear.input in grams else None
    packed, scales = quantise_blocks(linear.weights, bits, noise, gram)
    weights = graph.constant(packed, f"{linear.output}_q{bits}")
    factors = graph.constant(scales, f"{linear.output}_scales")
    k, n = linear.weights.shape
    inputs = [linear.input, weights, factors]
    if linear.bias is not None:
        inputs += ["", "", graph.constant(linear.bias, f"{linear.output}_bias")]
    graph.add(
        "MatMulNBits",
        inputs,
        linear.output,
        CONTRIB,
        K=k,
        N=n,
        bits=bits,
        block_size=BLOCK[bits],
        accuracy_level=_LEVEL,
    )

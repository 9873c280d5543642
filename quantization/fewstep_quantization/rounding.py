"""Rounding of weights that minds what the layer's inputs are (GPTQ; Frantar et al. 2022, arXiv:2210.17323, algorithm 1).

Row k of W meets channel k of x. After it is rounded, the rows that are not yet rounded take over its error as far as their channels go
along with it: with H = X^T X and U the upper Cholesky factor of its inverse,

    w_j -= U_kj / U_kk (w_k - q_k),   j > k

which leaves the least ||X W - X Q||^2 that rounding row by row can.
"""

import numpy as np
import numpy.typing as npt

from fewstep_quantization.affine import FloatArray

Rounded = npt.NDArray[np.int8]
"""Integer weights (K, N)."""
_DAMPING = 0.01
"""Of the mean diagonal of H: channels that the calibration hardly saw must not take over errors without bound."""


def round_weights(
    weights: FloatArray,
    scales: FloatArray,
    gram: npt.NDArray[np.float64],
    levels: tuple[int, int] = (-127, 127),
) -> Rounded:
    """Signed weights (K, N) in steps of `scales`, rounded in the order of the largest channels.

    Args:
        weights: float32 (K, N).
        scales: one an output (N,), or one a weight (K, N), where blocks of them have a scale of their own.
        gram: X^T X (K, K) of the inputs.
        levels: the smallest and the largest integer.
    """
    order = np.argsort(-np.diagonal(gram), kind="stable")
    h = gram[np.ix_(order, order)]
    h = h + np.eye(len(h)) * max(_DAMPING * float(np.diagonal(h).mean()), 1e-12)
    upper = np.linalg.cholesky(np.linalg.inv(h)).T.astype(np.float32)
    left, steps = weights[order].copy(), np.broadcast_to(scales, weights.shape)[order]
    result = np.empty(weights.shape, dtype=np.int8)
    for k in range(len(left)):
        rounded = np.clip(np.rint(left[k] / steps[k]), *levels)
        error = (left[k] - rounded * steps[k]) / upper[k, k]
        left[k + 1 :] -= np.outer(upper[k, k + 1 :], error)
        result[order[k]] = rounded.astype(np.int8)
    return result

"""What the channels of a layer's input have to do with each other: X^T X over all rows that came."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass
class Gram:
    """Sum of x x^T over rows x; the memory does not grow with their number.

    Args:
        name: of the tensor.
    """

    name: str
    value: npt.NDArray[np.float64] | None = None

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Adds the rows of values (..., K)."""
        rows = values.reshape(-1, values.shape[-1])
        found = (rows.T @ rows).astype(np.float64)
        self.value = found if self.value is None else self.value + found

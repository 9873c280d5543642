"""Arrays that take minutes to compute and never change, kept under the cache folder as ``.npy``."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fewstep import atomic
from fewstep_models import pretrained

Array = NDArray[np.float32]


def cached(name: str, key: str, compute: Callable[[], Array]) -> Array:
    """The array of ``compute``, read from the cache where it was computed before.

    Args:
        name: what the array is, for the reader of the folder.
        key: everything the array depends on; another key is another file.
        compute: called where there is no such file.
    """
    file = (
        pretrained.cache_folder() / "metrics" / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
    )
    if file.is_file():
        stored: Array = np.load(file, allow_pickle=False)
        return stored
    array = compute()
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    atomic.write_bytes(file, stream.getvalue())
    return array


def digest(model: nn.Module) -> str:
    """The first 12 digits of the sha256 over a model's weights: what its outputs depend on."""
    total = hashlib.sha256()
    for name, value in model.state_dict().items():
        total.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return total.hexdigest()[:12]

"""coremltools' own way from torch to a package, a second opinion on ours."""

import contextlib
import io
import warnings
from pathlib import Path

import coremltools as ct
import numpy as np
import torch
from torch import nn

from fewstep.network import Feeds

_DTYPES = {np.dtype(np.float32): np.float32, np.dtype(np.int32): np.int32}


def convert_directly(
    module: nn.Module, feeds: Feeds, outputs: tuple[str, ...], path: Path, half: bool
) -> None:
    """Writes the package of a module through torch.export and coremltools' frontend, for iOS 17.

    Args:
        module: in evaluation mode.
        feeds: inputs by name in the order of `forward`, one row.
        outputs: names of the outputs.
        path: of the new folder NAME.mlpackage.
        half: whether coremltools shall make it FP16.
    """
    arguments = tuple(torch.from_numpy(np.array(value)) for value in feeds.values())
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, arguments).run_decompositions({})
        package = ct.convert(
            program,
            inputs=[ct.TensorType(name, value.shape, _DTYPES[value.dtype]) for name, value in feeds.items()],
            outputs=[ct.TensorType(name) for name in outputs],
            convert_to="mlprogram",
            compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            minimum_deployment_target=ct.target.iOS17,
            skip_model_load=True,
        )
        package.save(str(path))

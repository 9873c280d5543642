"""fewstep: a few-step text-to-image generator that runs on the device, without torch.

The names below are imported on first use (PEP 562), so that `import fewstep` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewstep.bundle import Bundle
    from fewstep.errors import BundleError, FewstepError, IntegrityError
    from fewstep.manifest import Manifest
    from fewstep.noise import gaussian
    from fewstep.pipeline import Pipeline
    from fewstep.step_table import StepRow, StepTable

__all__ = [
    "Bundle",
    "BundleError",
    "FewstepError",
    "IntegrityError",
    "Manifest",
    "Pipeline",
    "StepRow",
    "StepTable",
    "gaussian",
]

_HOME = {
    "Bundle": "bundle",
    "BundleError": "errors",
    "FewstepError": "errors",
    "IntegrityError": "errors",
    "Manifest": "manifest",
    "Pipeline": "pipeline",
    "StepRow": "step_table",
    "StepTable": "step_table",
    "gaussian": "noise",
}


def __getattr__(name: str) -> object:
    """Imports a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'fewstep' has no attribute {name!r}")
    return getattr(import_module(f"fewstep.{_HOME[name]}"), name)

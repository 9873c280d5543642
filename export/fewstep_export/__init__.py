"""Checkpoints to bundles: torch -> ONNX -> passes -> precision -> target artefact -> verification -> bundle.

The names below are imported on first use (PEP 562): the command line imports this package at every start.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewstep_export.config import ExportConfig
    from fewstep_export.exporter import export
    from fewstep_export.parity import ParityError

__all__ = ["ExportConfig", "ParityError", "export"]

_HOME = {"ExportConfig": "config", "ParityError": "parity", "export": "exporter"}


def __getattr__(name: str) -> object:
    """Imports a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'fewstep_export' has no attribute {name!r}")
    return getattr(import_module(f"fewstep_export.{_HOME[name]}"), name)

"""What Core ML's operators compute, in torch, one family a file; written from Apple's description of MIL, not from its converter."""

from collections.abc import Callable, Mapping
from typing import Any

from fewstep_export.coreml.evaluation import compressed, elementwise, layout, linear, statistics

OPERATORS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    **compressed.OPERATORS,
    **elementwise.OPERATORS,
    **layout.OPERATORS,
    **linear.OPERATORS,
    **statistics.OPERATORS,
}
"""Functions of the arguments by name; several outputs are a list."""

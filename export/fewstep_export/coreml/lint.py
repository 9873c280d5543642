"""What a package must not hold, whatever it computes."""

from collections.abc import Iterator

import numpy as np

from fewstep.errors import FewstepError
from fewstep_export.coreml.package import Literal, Operation, Package

MAX_RANK = 5  # of any tensor in Core ML
_DTYPES = frozenset({"bool", "fp16", "fp32", "int32", "string"})
_IOS18 = frozenset({"constexpr_blockwise_shift_scale", "scaled_dot_product_attention", "slice_update"})
_WEIGHTS = frozenset(
    {"int8", "int16", "uint8", "uint16", "uint32", "int4", "uint1", "uint2", "uint3", "uint4", "uint6"}
)
_MORE = {"const": _WEIGHTS, "quantize": frozenset({"int8", "uint8"})}
"""What else an operator may give."""


def require_clean(package: Package, name: str) -> None:
    """Refuses a package with problems.

    Raises:
        FewstepError: there are some; the message lists them.
    """
    problems = list(find_problems(package))
    if problems:
        raise FewstepError(
            f"expected a package within Core ML's limits, found {'; '.join(problems)}, in {name}; change the module"
        )


def find_problems(package: Package) -> Iterator[str]:
    """Tensors of too many axes or of strange types, constants that are not finite, operators newer than the target."""
    for operation in package.operations:
        if package.opset == "CoreML7" and operation.operator in _IOS18:
            yield f"{operation.operator}, which iOS 17 does not have"
        for name, kind in operation.outputs.items():
            if len(kind.shape) > MAX_RANK:
                yield f"{len(kind.shape)} axes at {name}"
            allowed = _DTYPES | _MORE.get(operation.operator, frozenset())
            if kind.dtype not in allowed:
                yield f"type {kind.dtype} at {name}"
        yield from _not_finite(operation)


def _not_finite(operation: Operation) -> Iterator[str]:
    for argument, literal in operation.arguments.items():
        value = literal.value if isinstance(literal, Literal) else None
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
            yield f"values that are not finite in {argument} of {next(iter(operation.outputs), '?')}"

"""Packages beyond Core ML's limits are named as such."""

import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep_export.coreml.lint import find_problems, require_clean
from fewstep_export.coreml.package import Literal, Operation, Package, TensorType


def _package(operation: Operation, opset: str = "CoreML7") -> Package:
    return Package(opset, {}, [operation], ())


def _result(operator: str, dtype: str = "fp32", shape: tuple[int, ...] = (1,)) -> Operation:
    return Operation(operator, {}, {"y": TensorType(dtype, shape)})


def _constant(value: float) -> Operation:
    kind = TensorType("fp16", (1,))
    return Operation("const", {"val": Literal(kind, np.array([value], np.float16))}, {"y": kind})


@pytest.mark.parametrize(
    ("operation", "problem"),
    [
        (_result("reshape", shape=(1,) * 6), "6 axes at y"),
        (_result("add", dtype="fp64"), "type fp64 at y"),
        (_result("add", dtype="int8"), "type int8 at y"),
        (_result("scaled_dot_product_attention"), "scaled_dot_product_attention, which iOS 17 does not have"),
        (_constant(-np.inf), "values that are not finite in val of y"),
    ],
)
def test_problem_is_named(operation: Operation, problem: str) -> None:
    with pytest.raises(FewstepError, match=problem):
        require_clean(_package(operation), "p.mlpackage")


@pytest.mark.parametrize(
    "package",
    [
        _package(_result("reshape", shape=(1,) * 5)),
        _package(_result("const", dtype="uint4")),
        _package(_result("scaled_dot_product_attention"), "CoreML8"),
        _package(_constant(-65504.0)),
    ],
)
def test_what_core_ml_takes_is_clean(package: Package) -> None:
    assert not list(find_problems(package))

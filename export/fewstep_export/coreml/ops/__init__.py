"""The ONNX operators that Core ML packages are made of, one family a file."""

from collections.abc import Mapping

from fewstep_export.coreml.ops import elementwise, layout, linear, normalisation, resize
from fewstep_export.coreml.rule import Rule

RULES: Mapping[str, Rule] = {
    **elementwise.RULES,
    **layout.RULES,
    **linear.RULES,
    **normalisation.RULES,
    **resize.RULES,
}
"""Rules by ONNX operator."""

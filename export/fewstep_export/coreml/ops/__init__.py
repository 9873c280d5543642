"""The ONNX operators that Core ML packages are made of, one family a file."""

from collections.abc import Mapping

from fewstep_export.coreml.ops import attention, elementwise, layout, linear, normalisation, quantized, resize
from fewstep_export.coreml.rule import Rule

RULES: Mapping[str, Rule] = {
    **attention.RULES,
    **elementwise.RULES,
    **layout.RULES,
    **linear.RULES,
    **normalisation.RULES,
    **quantized.RULES,
    **resize.RULES,
}
"""Rules by ONNX operator."""

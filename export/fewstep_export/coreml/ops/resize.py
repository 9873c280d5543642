"""Larger pictures: repetition and channels to space."""

from collections.abc import Mapping

import numpy as np
from coremltools.converters.mil import Builder as mb  # noqa: N813

from fewstep.errors import FewstepError
from fewstep_export.coreml.rule import Call, Rule, Value


def _resize(call: Call) -> Value:
    shape = call.inputs[0].shape
    by_scale = call.input(2) is not None and call.constant(2).size > 0
    scales = call.constant(2) if by_scale else call.constant(3) / np.array(shape)
    if len(shape) != 4 or scales[0] != 1 or scales[1] != 1 or np.any(scales != np.round(scales)):
        raise FewstepError(
            f"expected Resize to repeat rows and columns of a (B, C, H, W) map, found scales {scales.tolist()}, "
            f"in {call.name}; use an integer factor"
        )
    height, width = int(scales[2]), int(scales[3])
    return mb.upsample_nearest_neighbor(
        x=call.operand(0), scale_factor_height=height, scale_factor_width=width, name=call.name
    )


def _depth_to_space(call: Call) -> Value:
    return mb.pixel_shuffle(x=call.operand(0), upscale_factor=call.attributes["blocksize"], name=call.name)


RULES: Mapping[str, Rule] = {
    "DepthToSpace": Rule(_depth_to_space, {"blocksize": None, "mode": ("CRD",)}),
    "Resize": Rule(
        _resize,
        {
            "antialias": (0,),
            "coordinate_transformation_mode": ("asymmetric",),
            "cubic_coeff_a": None,  # the rest of the list has no meaning for mode "nearest"
            "exclude_outside": (0,),
            "extrapolation_value": None,
            "keep_aspect_ratio_policy": ("stretch",),
            "mode": ("nearest",),
            "nearest_mode": ("floor",),
        },
        constants=(1, 2, 3),
    ),
}

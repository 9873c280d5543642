"""The float passes before any scheme: each keeps the function, all together show a scheme linear layers where there are some."""

import onnx

from fewstep_quantization.passes.attention import fuse_attention
from fewstep_quantization.passes.channels_last import to_channels_last
from fewstep_quantization.passes.layer_norm import fuse_layer_norm
from fewstep_quantization.passes.split_weights import split_weights


def prepare(model: onnx.ModelProto, spatial: bool = False) -> onnx.ModelProto:
    """The same function, pixels as rows; `spatial` as for `to_channels_last`."""
    return fuse_attention(split_weights(fuse_layer_norm(to_channels_last(model, spatial))))

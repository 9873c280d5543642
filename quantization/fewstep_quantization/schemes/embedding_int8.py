"""8-bit embedding tables: a row is looked up in integers and multiplied by its own scale.

In a small text encoder the table is half of the file, and a prompt reads a few rows of it.
"""

import numpy as np
import onnx

from fewstep_quantization.affine import quantise_weights
from fewstep_quantization.graph import Rewriter, attributes

_LEAST_ROWS = 256


def to_int8_embeddings(model: onnx.ModelProto, weight_noise: float = 0.0) -> onnx.ModelProto:
    """The graph with every constant FP32 table of at least 256 rows, read by Gather along its rows, in 8 bits.

    `weight_noise` is what `quantise_weights` calls noise.
    """
    graph = Rewriter(model)
    for node in graph.old_nodes:
        table = graph.constants.get(node.input[0]) if node.op_type == "Gather" else None
        if (
            table is None
            or table.ndim != 2
            or table.dtype != np.float32
            or len(table) < _LEAST_ROWS
            or attributes(node).get("axis", 0) != 0
        ):
            graph.keep(node)
            continue
        rows, scales = quantise_weights(table, axis=1, noise=weight_noise)
        name = node.output[0]
        row = graph.add("Gather", [graph.constant(rows, f"{name}_s8"), node.input[1]], axis=0)
        scale = graph.add(
            "Gather", [graph.constant(scales[:, None], f"{name}_scales"), node.input[1]], axis=0
        )
        graph.add("Mul", [graph.add("Cast", [row], to=onnx.TensorProto.FLOAT), scale], name)
    return graph.model()

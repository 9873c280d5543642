from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir

from fewstep_export.components import Feeds
from fewstep_export.passes.fold_constants import FoldConstants
from fewstep_export.passes.freeze_reshapes import FreezeReshapes
from fewstep_export.session import tensors


def test_shapes_become_constants(
    sample: tuple[onnx.ModelProto, Feeds], apply: Callable[..., onnx.ModelProto]
) -> None:
    model, feeds = sample
    after = apply(FreezeReshapes(), model, feeds)
    shapes = {value.name for value in after.graph.initializer}
    nodes = [
        node for node in after.graph.node if node.op_type in ("Reshape", "Expand") and node.input[1] in shapes
    ]
    assert {node.op_type for node in nodes} == {"Reshape", "Expand"}
    swept = ir.serde.serialize_model(FoldConstants()(ir.serde.deserialize_model(after)).model)
    assert not {"Shape", "Concat", "Squeeze"} & {node.op_type for node in swept.graph.node}


def test_the_batch_stays_free(
    sample: tuple[onnx.ModelProto, Feeds], apply: Callable[..., onnx.ModelProto]
) -> None:
    model, feeds = sample
    after = apply(FreezeReshapes(), model, feeds)
    (output,) = [value.name for value in model.graph.output]
    three = {"x": np.concatenate([feeds["x"], feeds["x"][:1]])}
    np.testing.assert_array_equal(tensors(after, three)[output][2], tensors(after, feeds)[output][0])

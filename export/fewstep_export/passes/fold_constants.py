"""What is known at export time is computed at export time."""

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript.optimizer import fold_constants

_NO_LIMIT = 2**31


class FoldConstants(ir.passes.InPlacePass):
    """Folds, then sweeps.

    1. Nodes with constant inputs become initializers, weights of any size included (a linear layer's transposed weight).
    2. Constant nodes become initializers; equal initializers become one; Identity nodes and whatever no output needs are removed.
    3. Nothing else is rewritten. The optimizer that torch.onnx.export would run takes ``x + eps`` with ``eps <= 1e-8`` for ``x + 0``
       and deletes it, so that a denominator can become 0.

    Nothing of more than ``limit`` numbers is computed; by default there is no limit.
    """

    def __init__(self, limit: int = _NO_LIMIT) -> None:
        super().__init__()
        self.limit = limit

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        sweep = ir.passes.Sequential(
            common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
            common.IdentityEliminationPass(),
            common.RemoveUnusedNodesPass(),
            common.DeduplicateInitializersPass(),
        )
        folded = fold_constants(model, input_size_limit=self.limit, output_size_limit=self.limit)
        swept = sweep(folded.model)
        return ir.passes.PassResult(swept.model, folded.modified or swept.modified)

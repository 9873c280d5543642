"""Graph passes: one a file, each an `onnx_ir.passes.InPlacePass` with `call(model) -> PassResult`.

The docstring of a pass is its specification. Every pass is idempotent, survives saving and loading, and keeps what the graph computes
(up to the precision it says).
"""

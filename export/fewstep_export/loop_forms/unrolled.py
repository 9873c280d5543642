"""All steps of a table, guidance and decoder in one graph: noise and text in, pixels out, no loop left."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir

from fewstep.manifest import Guidance, Latent
from fewstep.step_table import StepRow, StepTable
from fewstep_export.loop_forms.fused_step import latent_shape
from fewstep_export.loop_forms.graph_builder import GraphBuilder, batched_shape
from fewstep_export.loop_forms.guided import GuidedDenoiser, linear, scalar


def unrolled(
    denoiser: onnx.ModelProto,
    decoder: onnx.ModelProto,
    table: StepTable,
    latent: Latent,
    guidance: Guidance | None,
) -> onnx.ModelProto:
    """The whole loop as a graph; its weights are there once, however many steps.

    Args:
        denoiser: an exported denoiser.
        decoder: an exported decoder.
        table: its rows become constants.
        latent: scale and shift between denoiser and decoder.
        guidance: how both branches are joined in it; the scale stays an input, ``guidance_scale`` (1,). None: one branch.

    Returns:
        A graph with the inputs ``noise_0`` (B, C, h, w), ``noise_i`` for every row i - 1 that draws noise, the conditions of the
        denoiser (and ``negative_*`` of each), and the output ``image`` (B, channels, H, W).
    """
    network, pixels = (ir.serde.deserialize_model(model).graph for model in (denoiser, decoder))
    shape = latent_shape(network)
    builder = GraphBuilder("unrolled")
    initial = builder.input("noise_0", shape)
    scale = builder.input("guidance_scale", [1]) if guidance else None
    model = GuidedDenoiser.declare(builder, network, scale, guidance is not None and guidance.keep_norm)
    state = [builder.op("Mul", initial, scalar(builder, table.initial_scale))]
    for i, row in enumerate(table.rows):
        x = (
            state[0]
            if row.input_scale == 1.0
            else linear(builder, [(scalar(builder, row.input_scale), state[0])])
        )
        m = model(x, scalar(builder, row.timestep), f"step_{i}")
        drawn = [builder.input(f"noise_{i + 1}", shape)] if any(row.noise) else []
        state = [_next(builder, row, k, m, state, drawn) for k in range(len(row.output))]
    (image,) = builder.inline(
        pixels, {"latents": _restored(builder, state[0], latent)}, "decoder", "decoder"
    ).values()
    builder.output(image, "image", batched_shape(pixels.outputs[0]))
    return builder.build()


def _next(
    builder: GraphBuilder,
    row: StepRow,
    k: int,
    m: ir.Value,
    state: Sequence[ir.Value],
    drawn: Sequence[ir.Value],
) -> ir.Value:
    """Kept array k after the row; terms with the coefficient 0 are left out."""
    coefficients = [row.output[k], *row.state[k], *(row.noise[k : k + 1] if drawn else ())]
    terms = zip(coefficients, [m, *state, *drawn], strict=True)
    return linear(builder, [(scalar(builder, c), value) for c, value in terms if c])


def _restored(builder: GraphBuilder, z_n: ir.Value, latent: Latent) -> ir.Value:
    """``z = z_n / scale + shift``, as `fewstep.pipeline` does."""
    scale, shift = (
        builder.constant(np.array(values, dtype=np.float32)[:, None, None])
        for values in (latent.scale, latent.shift)
    )
    return builder.op("Add", builder.op("Div", z_n, scale), shift)

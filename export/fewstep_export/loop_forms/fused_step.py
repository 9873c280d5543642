"""One row of a step table as a graph: kept arrays in, kept arrays out, the row's scalars an input.

The loop then is nothing but calls: a host hands the outputs of one call to the next, and they need never leave the engine.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir

from fewstep.fused import row_size
from fewstep.manifest import Guidance
from fewstep_export.loop_forms.graph_builder import GraphBuilder, batched_shape
from fewstep_export.loop_forms.guided import GuidedDenoiser, linear


@dataclass(frozen=True)
class FusedStepConfig:
    """What the tables that the graph shall run have in common.

    Attributes:
        buffers: arrays kept between two rows, of the most demanding table.
        stochastic: whether a table draws noise; the graph then has an input for it.
        guidance: how both branches are joined in the graph (the scale is an input); None: one branch.
    """

    buffers: int
    stochastic: bool
    guidance: Guidance | None

    def __post_init__(self) -> None:
        if self.buffers < 1:
            raise ValueError(f"buffers must be at least 1, found {self.buffers}")


def fused_step(denoiser: onnx.ModelProto, config: FusedStepConfig) -> onnx.ModelProto:
    """The graph of ``s'_k = output[k] m + sum_j state[k][j] s_j + noise[k] n`` with ``m = denoiser(input_scale s_0, timestep)``.

    Args:
        denoiser: an exported denoiser with float32 inputs and output, of any precision inside.
        config: what the graph must be able to do.

    Returns:
        A graph with the inputs ``row`` (see `fewstep.fused.pack_row`), ``state_0`` ... (B, C, h, w), ``noise`` (B, C, h, w) if
        stochastic, the conditions of the denoiser and, with guidance, ``negative_*`` of each; outputs ``next_0`` ...
    """
    graph = ir.serde.deserialize_model(denoiser).graph
    shape = latent_shape(graph)
    builder = GraphBuilder("fused_step")
    k = config.buffers
    row = builder.input("row", [row_size(k)])
    state = [builder.input(f"state_{i}", shape) for i in range(k)]
    drawn = [builder.input("noise", shape)] if config.stochastic else []
    timestep, input_scale, guidance, *coefficients = _split(builder, row, row_size(k))
    states, outputs, noises = (
        coefficients[: k * k],
        coefficients[k * k : k * k + k],
        coefficients[k * k + k :],
    )
    inside = config.guidance
    model = GuidedDenoiser.declare(
        builder, graph, guidance if inside else None, inside is not None and inside.keep_norm
    )
    m = model(builder.op("Mul", state[0], input_scale), timestep, "denoiser")
    for i in range(k):
        terms = [(outputs[i], m), *zip(states[i * k : i * k + k], state, strict=True)]
        terms += [(noises[i], n) for n in drawn]
        builder.output(linear(builder, terms), f"next_{i}", shape)
    return builder.build()


def latent_shape(graph: ir.Graph) -> list[int | str]:
    """("batch", C, h, w) of the denoiser's latents."""
    (latents,) = (value for value in graph.inputs if value.name == "latents")
    return batched_shape(latents)


def _split(builder: GraphBuilder, row: ir.Value, size: int) -> list[ir.Value]:
    sizes = builder.constant(np.ones(size), np.int64)
    return builder.ops("Split", row, sizes, outputs=size, axis=0)

"""The denoiser with its guidance, as one value in a graph."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from fewstep.loop_form import NEGATIVE
from fewstep_export.loop_forms.graph_builder import GraphBuilder, batched_shape


@dataclass(frozen=True)
class GuidedDenoiser:
    """The network output m of (scaled latents, timestep), with classifier-free guidance m = m_0 + w (m_c - m_0) if there is a scale.

    Both branches are evaluated in one call of twice the batch, unconditional first, and joined as `fewstep.guidance` does.

    Attributes:
        builder: where the nodes go.
        graph: the exported denoiser.
        conditions: its inputs besides latents and timestep, conditional after unconditional along the batch.
        scale: w as a tensor of one value; None for a denoiser without guidance.
        keep_norm: whether every line of m gets the Euclidean norm of that line in m_c.
    """

    builder: GraphBuilder
    graph: ir.Graph
    conditions: dict[str, ir.Value]
    scale: ir.Value | None
    keep_norm: bool = False

    @classmethod
    def declare(
        cls, builder: GraphBuilder, graph: ir.Graph, scale: ir.Value | None, keep_norm: bool
    ) -> "GuidedDenoiser":
        """Declares the inputs: every condition of the denoiser and, with guidance, `negative_` + its name."""
        conditions = {}
        for value in graph.inputs:
            if (name := str(value.name)) in ("latents", "timestep"):
                continue
            assert value.dtype is not None
            shape = batched_shape(value)
            conditions[name] = builder.input(name, shape, value.dtype)
            if scale is not None:
                negative = builder.input(f"{NEGATIVE}{name}", shape, value.dtype)
                conditions[name] = builder.op("Concat", negative, conditions[name], axis=0)
        return cls(builder, graph, conditions, scale, keep_norm)

    def __call__(self, latents: ir.Value, timestep: ir.Value, scope: str) -> ir.Value:
        """Output m (B, C, h, w) for latents (B, C, h, w) and a timestep of one value."""
        b = self.builder
        x = latents if self.scale is None else b.op("Concat", latents, latents, axis=0)
        batch = b.op("Shape", x, start=0, end=1)
        feeds = {"latents": x, "timestep": b.op("Expand", timestep, batch), **self.conditions}
        (m,) = b.inline(self.graph, feeds, "denoiser", scope).values()
        if self.scale is None:
            return m
        m_0, m_c = b.ops("Split", m, outputs=2, axis=0, num_outputs=2)
        m = b.op("Add", m_0, b.op("Mul", self.scale, b.op("Sub", m_c, m_0)))
        return b.op("Mul", m, b.op("Div", _norm(b, m_c), _norm(b, m))) if self.keep_norm else m


def _norm(builder: GraphBuilder, m: ir.Value) -> ir.Value:
    """The Euclidean norm of every line, (..., 1)."""
    return builder.op("ReduceL2", m, builder.constant(np.array([-1]), np.int64), keepdims=1)


def linear(builder: GraphBuilder, terms: list[tuple[ir.Value, ir.Value]]) -> ir.Value:
    """The sum of coefficient times tensor, from left to right."""
    total, *rest = (builder.op("Mul", tensor, coefficient) for coefficient, tensor in terms)
    for term in rest:
        total = builder.op("Add", total, term)
    return total


def scalar(builder: GraphBuilder, value: float) -> ir.Value:
    """A float32 constant of one value."""
    return builder.constant(np.array([value]))

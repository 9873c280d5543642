"""Where the sampler's loop runs, and what the graphs of each form must look like."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from fewstep.errors import BundleError

Form = Literal["host", "fused", "unrolled"]

NETWORKS: Mapping[Form, str] = {"host": "denoiser", "fused": "fused_step", "unrolled": "unrolled"}
"""By form, the graph that holds the denoiser, and with it that much of the loop."""

TEXT_ENCODER = "text_encoder"
"""The graph that tells the denoiser what the prompt says, where there is one."""

NEGATIVE = "negative_"
"""Before the name of a condition: the same of the unconditional branch, where a graph holds both."""


class Signature(Protocol):
    """The names of a graph's inputs and outputs."""

    @property
    def input_names(self) -> frozenset[str]:
        """The names of the inputs."""
        ...

    @property
    def output_names(self) -> frozenset[str]:
        """The names of the outputs."""
        ...


Graphs = Mapping[str, Signature]
"""Graphs by component."""


@dataclass(frozen=True)
class Loop:
    """Which part of the loop is inside a graph.

    Args:
        form: "host": the denoiser alone; "fused": one row of the step table, with guidance; "unrolled": every row, with guidance and
            the decoder.
        step_table: of an unrolled graph, the name of the step table that it holds.
    """

    form: Form = "host"
    step_table: str | None = None

    def __post_init__(self) -> None:
        if (self.form == "unrolled") != (self.step_table is not None):
            raise BundleError(
                f"expected a step table for the form unrolled alone, found {self.step_table} for {self.form}, in field 'loop'"
            )

    def check_components(self, graphs: Graphs) -> None:
        """Whether the variant has the graphs of its form.

        Raises:
            BundleError: a graph is missing or is not of this form, or the decoder is not latents -> image.
        """
        needed = {NETWORKS[self.form]} | ({"decoder"} if self.form != "unrolled" else set())
        allowed = {*needed, TEXT_ENCODER, "prompt"}
        if not needed <= graphs.keys() <= allowed:
            raise BundleError(
                f"expected the components {', '.join(sorted(allowed))}, found {', '.join(graphs) or 'none'}"
            )
        if "decoder" in needed:
            _same(graphs["decoder"].input_names, {"latents"}, "inputs", "decoder")
            _same(graphs["decoder"].output_names, {"image"}, "outputs", "decoder")

    def check_feeds(self, graphs: Graphs, tokens: Collection[str]) -> None:
        """Whether every input of every graph can be fed, given the tensors that the tokenizers make.

        Raises:
            BundleError: an input comes from nowhere, or an output is missing.
        """
        known = set(tokens)
        for name in (TEXT_ENCODER, "prompt"):
            if (graph := graphs.get(name)) is not None:
                _subset(graph.input_names, known, "inputs", name)
                known |= graph.output_names
        name = NETWORKS[self.form]
        network = graphs[name]
        needed, optional, outputs = _interface(self.form, network)
        both = known | {f"{NEGATIVE}{condition}" for condition in known}
        _superset(network.input_names, needed, "inputs", name)
        _subset(
            network.input_names,
            needed | optional | {"guidance"} | (known if self.form == "host" else both),
            "inputs",
            name,
        )
        if outputs:
            _same(network.output_names, outputs, "outputs", name)
        elif len(network.output_names) != 1:
            raise BundleError(
                f"expected one output, found {', '.join(sorted(network.output_names)) or 'none'}, in '{name}'"
            )


def buffers(inputs: Collection[str]) -> int:
    """How many arrays a fused step with these inputs keeps: ``state_0`` and so on go in, ``next_0`` and so on come out."""
    return sum(name.startswith("state_") for name in inputs)


def _interface(form: Form, network: Signature) -> tuple[set[str], set[str], set[str]]:
    """Inputs that there must be, inputs that there may be besides the conditions, and outputs (empty: one of any name)."""
    if form == "host":
        return {"latents", "timestep"}, set(), set()
    if form == "fused":
        kept = max(1, buffers(network.input_names))
        states = {f"state_{k}" for k in range(kept)}
        return {"row", *states}, {"noise"}, {f"next_{k}" for k in range(kept)}
    drawn = {name for name in network.input_names if name.startswith("noise_")}
    return {"noise_0"}, {"guidance_scale", *drawn}, {"image"}


def _same(found: frozenset[str], expected: set[str], side: str, where: str) -> None:
    if found != expected:
        raise BundleError(
            f"expected the {side} {', '.join(sorted(expected))}, found {', '.join(sorted(found)) or 'none'}, in '{where}'"
        )


def _subset(found: frozenset[str], allowed: set[str], side: str, where: str) -> None:
    if extra := sorted(found - allowed):
        raise BundleError(
            f"expected the {side} {', '.join(sorted(allowed))} or some of them, found '{extra[0]}', in '{where}'"
        )


def _superset(found: frozenset[str], needed: set[str], side: str, where: str) -> None:
    if missing := sorted(needed - found):
        raise BundleError(
            f"expected the {side} {', '.join(sorted(needed))}, found no '{missing[0]}', in '{where}'"
        )

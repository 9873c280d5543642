"""An ONNX file as a TensorRT network; what the parser says about a node becomes one sentence with its name and scope."""

from pathlib import Path
from typing import Any

from fewstep.errors import FewstepError


def parse(library: Any, builder: Any, source: Path, log: Any) -> Any:
    """The strongly typed network of a graph: every tensor has the type that it has in the file.

    Raises:
        FewstepError: TensorRT does not take the graph; the message lists every node that it refuses.
    """
    kinds = library.NetworkDefinitionCreationFlag
    typed = getattr(kinds, "STRONGLY_TYPED", None)  # TensorRT 11 knows no other networks, and no flag
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = library.OnnxParser(network, log)
    if not parser.parse_from_file(str(source)):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        problems = [_problem(error) for error in errors] or log.messages or ["no reason given"]
        raise FewstepError(
            f"expected a graph that TensorRT takes, found {len(problems)} problems, in {source.name}: {'; '.join(problems)}; "
            "change the module or leave out the target"
        )
    return network


def scope_of(node: str) -> str:
    """The module of a node that the export named, like "blocks.0.attention" of "blocks.0.attention/add"."""
    return node.rpartition("/")[0]


def _problem(error: Any) -> str:
    node = error.node_name()
    return f"{error.node_operator()} of node '{node}' in scope '{scope_of(node)}': {error.desc().strip()}"

"""Whether a graph can become a Core ML program, known before any work is done."""

from collections.abc import Iterator, Mapping

import onnx

from fewstep.errors import FewstepError
from fewstep_export.coreml.ops import RULES
from fewstep_export.coreml.rule import Rule
from fewstep_export.passes.clean_metadata import SCOPE


def require_convertible(model: onnx.ModelProto, name: str) -> None:
    """Refuses a graph with nodes that have no lowering rule.

    Raises:
        FewstepError: the graph holds unknown operators, attributes with unknown values, or computed values where constants
            are needed; the message lists all of them.
    """
    _refuse(list(find_problems(model)), name)


def _refuse(problems: list[str], name: str) -> None:
    if problems:
        raise FewstepError(
            f"expected operators that have a rule in coreml/ops, found {len(problems)} problems, in {name}: "
            f"{'; '.join(problems)}; change the module or add a rule"
        )


def require_all_convertible(models: Mapping[str, onnx.ModelProto]) -> None:
    """Refuses graphs of which one has nodes without a lowering rule; the message lists those of all graphs.

    Raises:
        FewstepError: there are some.
    """
    problems = [f"{name}: {problem}" for name, model in models.items() for problem in find_problems(model)]
    _refuse(problems, ", ".join(models))


def find_problems(model: onnx.ModelProto) -> Iterator[str]:
    """What of a graph cannot be lowered, one text for each, with operator, node and scope."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        where = f"{node.op_type} of node '{node.name}' in scope '{_scope(node)}'"
        if all(not name or name in constants for name in node.input) or node.op_type == "Shape":
            constants.update(node.output)  # folded, whatever it is
        elif node.op_type not in RULES or node.domain:
            yield f"unknown operator {where}"
        else:
            yield from (f"{problem}, {where}" for problem in _of_node(node, RULES[node.op_type], constants))


def _of_node(node: onnx.NodeProto, rule: Rule, constants: set[str]) -> Iterator[str]:
    for attribute in node.attribute:
        value = attribute_value(attribute)
        if attribute.name not in rule.attributes:
            yield f"unknown attribute {attribute.name}"
            continue
        allowed = rule.attributes[attribute.name]
        if allowed is not None and value not in allowed:
            yield f"{attribute.name} = {value!r} where {_listed(allowed)} is known"
    for i in rule.constants:
        if i < len(node.input) and node.input[i] and node.input[i] not in constants:
            yield f"input {i} is computed where a constant is needed"


def attribute_value(attribute: onnx.AttributeProto) -> object:
    """The value of an attribute; texts as str."""
    value: object = onnx.helper.get_attribute_value(attribute)
    return value.decode() if isinstance(value, bytes) else value


def _listed(values: object) -> str:
    return " or ".join(map(repr, values)) if isinstance(values, tuple) else "a permutation of axes"


def _scope(node: onnx.NodeProto) -> str:
    return next((entry.value for entry in node.metadata_props if entry.key == SCOPE), "")

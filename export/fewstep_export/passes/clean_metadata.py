"""Names for readers, and nothing of the machine that exported the graph."""

import ast

import onnx_ir as ir

SCOPE, CLASS = "fewstep.scope", "fewstep.class"
_SCOPES, _CLASSES = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"


class CleanMetadata(ir.passes.InPlacePass):
    """Replaces the exporter's metadata by the torch module that a node comes from.

    1. A node keeps two facts: ``fewstep.scope``, the path of its module ("blocks.0.attention"; "" is the whole model), and
       ``fewstep.class``, the module's class ("LinearAttention").
    2. Its name becomes SCOPE/OUTPUT, like "blocks.0.attention/relu"; names are unique as outputs are.
    3. All other metadata and documentation of the model, the graph, its nodes and values is removed: the exporter writes stack traces
       with file paths there.
    4. The producer is fewstep, without a version: the manifest holds the versions.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = self._clean_model(model)
        for node in model.graph:
            modified |= _clean_node(node)
        values = [
            *model.graph.inputs,
            *model.graph.initializers.values(),
            *(v for n in model.graph for v in n.outputs),
        ]
        for value in values:
            modified |= bool(value.metadata_props or value.doc_string)
            value.metadata_props.clear()
            value.doc_string = None
        return ir.passes.PassResult(model, modified)

    def _clean_model(self, model: ir.Model) -> bool:
        before = (
            model.producer_name,
            model.producer_version,
            model.doc_string,
            model.graph.doc_string,
            model.graph.name,
        )
        model.producer_name, model.producer_version, model.doc_string, model.graph.doc_string = (
            "fewstep",
            None,
            None,
            None,
        )
        model.graph.name = "main"
        modified = bool(model.metadata_props or model.graph.metadata_props) or before != (
            "fewstep",
            None,
            None,
            None,
            "main",
        )
        model.metadata_props.clear()
        model.graph.metadata_props.clear()
        return modified


def scope_of(node: ir.Node) -> str:
    """The path of the torch module that the node comes from; "" if unknown or the whole model."""
    return node.metadata_props.get(SCOPE, "")


def class_of(node: ir.Node) -> str:
    """The class of that module; "" if unknown."""
    return node.metadata_props.get(CLASS, "")


def _clean_node(node: ir.Node) -> bool:
    facts = {SCOPE: scope_of(node), CLASS: class_of(node)}
    if _SCOPES in node.metadata_props:
        # The last entry of both lists is the operation itself, the one before it the module.
        scopes, classes = (ast.literal_eval(node.metadata_props[key]) for key in (_SCOPES, _CLASSES))
        facts = {SCOPE: scopes[-2], CLASS: classes[-2].rpartition(".")[2]} if len(scopes) > 1 else facts
    facts = {key: value for key, value in facts.items() if value}
    name = "/".join(filter(None, (facts.get(SCOPE, ""), node.outputs[0].name)))
    modified = facts != dict(node.metadata_props) or name != node.name or bool(node.doc_string)
    node.metadata_props.clear()
    node.metadata_props.update(facts)
    node.name, node.doc_string = name, None
    return modified

"""From the FP32 graphs of a variant to those of a scheme."""

from fewstep_quantization.building import Build, Inputs, OnProgress
from fewstep_quantization.config import QuantizeConfig
from fewstep_quantization.integers import build_integers
from fewstep_quantization.prepare import prepare
from fewstep_quantization.schemes.embedding_int8 import to_int8_embeddings
from fewstep_quantization.schemes.weight_only import Bits, to_weight_only


def build(config: QuantizeConfig, inputs: Inputs, on_progress: OnProgress) -> Build:
    """The graphs of the scheme."""
    if config.scheme in ("w8", "w4"):
        bits: Bits = 8 if config.scheme == "w8" else 4
        graphs = {
            name: to_weight_only(prepare(graph), bits, config.exclude)
            for name, graph in inputs.graphs.items()
        }
        return Build({name: to_int8_embeddings(graph) for name, graph in graphs.items()})
    return build_integers(config, inputs, on_progress)

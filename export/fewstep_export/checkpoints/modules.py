"""Any torch module with example inputs as a verified ONNX graph: for networks that no reader knows.

    export_module(MyDenoiser(), [{"latents": x, "timestep": t, "text_states": c}], "denoiser.onnx", outputs=("velocity",))

Three such graphs and a description (`fewstep_export.checkpoints.described`) are a checkpoint.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from fewstep import atomic
from fewstep.errors import FewstepError
from fewstep.manifest import Verification
from fewstep_export.components import Component, Feeds
from fewstep_export.fixed_inputs import Case
from fewstep_export.onnx_export import export_component, to_bytes
from fewstep_export.parity import FP32_TOLERANCE, Check, verify
from fewstep_export.session import runner

Example = Mapping[str, "Tensor | npt.NDArray[np.generic]"]


def export_module(
    module: nn.Module, examples: Sequence[Example], output: Path | str, outputs: Sequence[str] = ("output",)
) -> Verification:
    """Writes the FP32 graph of a module, compared with torch on the examples, and returns how far it is off.

    Args:
        module: in evaluation mode.
        examples: inputs by the names that they shall have, in the order of `forward`; all with the batch first, which becomes free,
            and the first example with a batch of at least 2.
        output: the .onnx file.
        outputs: names of the outputs in order.

    Raises:
        ParityError: the graph does not compute what torch does.
        FewstepError: the examples do not fit, or torch cannot trace the module.
        OSError: the file cannot be written.
    """
    feeds = [_arrays(example) for example in examples]
    _require_batches(feeds)
    component = Component(type(module).__name__, module, tuple(feeds[0]), tuple(outputs))
    exported = export_component(component, feeds[0])
    check = Check(exported, "fp32", runner(exported.model), exported.model, FP32_TOLERANCE)
    found = verify(check, [Case(feed, component.run(feed)) for feed in feeds])
    atomic.write_bytes(Path(output), to_bytes(exported.model))
    return found


def _arrays(example: Example) -> Feeds:
    return {
        name: value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        for name, value in example.items()
    }


def _require_batches(feeds: Sequence[Feeds]) -> None:
    """Refuses examples of which torch would take a size of 1, or one that only some inputs have, for a constant."""
    if not feeds or not feeds[0]:
        raise FewstepError("expected at least one example with inputs, found none; give one")
    for feed in feeds:
        if feed.keys() != feeds[0].keys():
            raise FewstepError(
                f"expected the inputs {', '.join(feeds[0])} in every example, found {', '.join(feed)}; name them alike"
            )
    sizes = {name: array.shape[:1] for name, array in feeds[0].items()}
    if len(set(sizes.values())) > 1 or min(sizes.values()) < (2,):
        raise FewstepError(
            f"expected one batch of at least 2 in all inputs of the first example, found {sizes}; repeat the inputs"
        )

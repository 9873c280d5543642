"""Calibration on the real trajectory: the shipped loop, its steps and its guidance draw pictures, and every activation is counted.

A few-step model sees few noise levels, far from each other, and its own latents there; noise at random levels would show it
others. Every row of the step table weighs the same. Pictures come one after another: the memory does not grow with their number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import onnx

from fewstep.errors import FewstepError
from fewstep.network import Feeds, Network
from fewstep.step_table import StepTable
from fewstep.text_to_image import Drawing
from fewstep_quantization.calibration.histogram import Histogram
from fewstep_quantization.pictures import Graphs, Source
from fewstep_quantization.sessions import exposing, network

Histograms = Mapping[str, Mapping[str, Histogram]]
"""By component, then by tensor."""
OnPicture = Callable[[int, int], None]
"""(pictures drawn, pictures in all)"""


@dataclass(frozen=True)
class Calibration:
    """What to draw while counting: picture k shows prompt k from the noise of seed k + `first_seed`.

    The text encoder is shown `texts` besides.
    """

    prompts: Sequence[str]
    table: StepTable
    guidance: float | None = None
    first_seed: int = 1000
    texts: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.prompts:
            raise FewstepError(
                "expected at least 1 prompt for calibration, found none; give a file with a prompt a line"
            )
        if blank := [k for k, prompt in enumerate(self.prompts) if not prompt.strip()]:
            raise FewstepError(
                f"expected text in every calibration prompt, found an empty one, at place {blank[0] + 1}"
            )


class Observes(Protocol):
    """What looks at every value of a tensor."""

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Looks at the values of one call."""
        ...


T = TypeVar("T", bound=Observes)


def collect(
    source: Source,
    graphs: Graphs,
    tensors: Mapping[str, Sequence[str]],
    calibration: Calibration,
    on_picture: OnPicture = lambda _done, _all: None,
) -> Histograms:
    """Counts these tensors of each component's graph while the pictures of the calibration are drawn.

    Raises:
        FewstepError: an activation is NaN or infinite, or a prompt is too long.
    """
    return observe(source, graphs, tensors, calibration, Histogram, on_picture)


def observe(
    source: Source,
    graphs: Graphs,
    tensors: Mapping[str, Sequence[str]],
    calibration: Calibration,
    make: Callable[[str], T],
    on_picture: OnPicture = lambda _done, _all: None,
) -> Mapping[str, Mapping[str, T]]:
    """Shows these tensors, each to an observer of its own that `make` makes of its name, while the pictures are drawn.

    Raises:
        FewstepError: an activation is NaN or infinite, or a prompt is too long.
    """
    found = {name: {t: make(f"{name}.{t}") for t in tensors.get(name, ())} for name in graphs}
    networks = {name: _counting(graphs[name], found[name]) for name in graphs}
    model = source.text_to_image(networks)
    for text in calibration.texts:
        model.conditions([text])
    for k, prompt in enumerate(calibration.prompts):
        on_picture(k, len(calibration.prompts))
        model.draw(Drawing([prompt], [calibration.first_seed + k], calibration.table, calibration.guidance))
    return found


def _counting(model: onnx.ModelProto, histograms: Mapping[str, Observes]) -> Network:
    """The graph as a network that counts its activations at every call."""
    plain = [value.name for value in model.graph.output]
    inner = network(exposing(model, list(histograms)))

    def run(feeds: Feeds) -> Feeds:
        outputs = inner(feeds)
        for name, histogram in histograms.items():
            histogram.add(feeds[name] if name in feeds else outputs[name])
        return {name: outputs[name] for name in plain}

    return Network(inner.inputs, run)

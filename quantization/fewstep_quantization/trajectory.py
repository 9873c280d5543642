"""Inputs of a component as the shipped sampler makes them, kept to compare graphs on, and the error of a graph there."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from fewstep.network import Feeds, Network
from fewstep.text_to_image import Drawing
from fewstep_quantization.calibration.collect import Calibration
from fewstep_quantization.pictures import Graphs, Source
from fewstep_quantization.sessions import network

Trajectory = Sequence[Mapping[str, npt.NDArray[np.generic]]]
"""Inputs by name, one entry a call."""


def record(source: Source, graphs: Graphs, calibration: Calibration, most: int) -> dict[str, Trajectory]:
    """The calls of every component while the pictures are drawn: at most so many, spread evenly over pictures and steps."""
    calls: dict[str, list[Feeds]] = {name: [] for name in graphs}
    model = source.text_to_image({name: _recording(graphs[name], calls[name]) for name in graphs})
    for k, prompt in enumerate(calibration.prompts):
        model.draw(Drawing([prompt], [calibration.first_seed + k], calibration.table, calibration.guidance))
    return {name: _spread(feeds, most) for name, feeds in calls.items()}


def outputs(model: onnx.ModelProto, trajectory: Trajectory) -> list[npt.NDArray[np.float32]]:
    """The first output of a graph at every call."""
    run = network(model)
    first = model.graph.output[0].name
    return [run(feeds)[first] for feeds in trajectory]


def mean_relative_error(
    found: Sequence[npt.NDArray[np.float32]], expected: Sequence[npt.NDArray[np.float32]]
) -> float:
    """The root mean square over the calls of ||found - expected|| / ||expected||; infinite where a value is not finite."""
    ratios = [
        np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b.astype(np.float64))
        for a, b in zip(found, expected, strict=True)
    ]
    mean = float(np.sqrt(np.mean(np.square(ratios))))
    return mean if np.isfinite(mean) else float("inf")


def _recording(model: onnx.ModelProto, calls: list[Feeds]) -> Network:
    inner = network(model)

    def run(feeds: Feeds) -> Feeds:
        calls.append({name: value.copy() for name, value in feeds.items()})
        return dict(inner(feeds))

    return Network(inner.inputs, run)


def _spread(calls: Sequence[Feeds], most: int) -> Trajectory:
    chosen = np.unique(np.linspace(0, len(calls) - 1, min(most, len(calls))).round().astype(int))
    return [calls[k] for k in chosen]

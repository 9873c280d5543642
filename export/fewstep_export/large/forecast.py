"""The memory that each component of a model will take, from shapes alone."""

from collections.abc import Mapping
from math import prod

import numpy as np

from fewstep_export.components import Array
from fewstep_export.fixed_inputs import Case, component_feeds
from fewstep_export.large.activations import imagine
from fewstep_export.large.cases import PAIRS_UP_TO, first_row
from fewstep_export.large.component import Lean
from fewstep_export.large.memory import FLOAT, MemoryForecast


def forecast(lean: Lean, packages: bool = False) -> Mapping[str, MemoryForecast]:
    """The forecast by component: torch evaluates a prompt and the negative one at once, a graph too if it is small.

    Args:
        lean: the model.
        packages: whether packages for Core ML are made.
    """
    generator = lean.generator
    encoded: tuple[Case, ...] = ()
    forecasts: dict[str, MemoryForecast] = {}
    for component in generator.components:
        feeds = component_feeds(generator, generator.sampling.table(), component.name, encoded)[0]
        evaluation = imagine(lean.component(component.name), feeds)
        if component.name == "text_encoder":
            encoded = (Case(feeds, {name: _zeros(shape) for name, shape in evaluation.shapes.items()}),)
        shapes = lean.weights(component.name).shapes
        graph = evaluation.graph
        if FLOAT * sum(map(prod, shapes.values())) > PAIRS_UP_TO:
            graph = imagine(lean.component(component.name), first_row(feeds)).graph
        forecasts[component.name] = MemoryForecast.of(shapes, evaluation.torch, graph, packages)
    return forecasts


def _zeros(shape: tuple[int, ...]) -> Array:
    return np.zeros(shape, dtype=np.float32)

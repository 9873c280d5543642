"""What each network is told while pictures are drawn: the inputs on which weights are stored in fewer bits."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fewstep.engines.coreml import split_rows
from fewstep.loop_form import TEXT_ENCODER
from fewstep.network import Feeds, Run
from fewstep_export.components import Array, Generator
from fewstep_export.fixed_inputs import prompts_of
from fewstep_export.picture_loop import PictureTask, draw
from fewstep_quantization.calibration.texts import broad_texts

PICTURES = 16
"""Of the model's own examples; as many of other words come to them."""
ROWS = 128
"""Inputs of a network that are kept, spread over the pictures and steps."""
TEXTS = 2048
"""Of other words, which the text encoder reads besides: most words are in no example. A vocabulary of fewer words gives as many as it has."""
Inputs = Callable[[], Mapping[str, Sequence[Feeds]]]
"""Inputs by component, one row each; made when they are asked for."""


def trajectory_inputs(
    generator: Generator, pictures: int = PICTURES, rows: int = ROWS, texts: int = TEXTS
) -> Mapping[str, Sequence[Feeds]]:
    """Inputs of every network on the way to pictures of the model's own examples and of other words, drawn by torch.

    The fixed inputs of the verification are not among them: their noise and their second halves of the prompts differ.
    """
    found: dict[str, list[Feeds]] = {component.name: [] for component in generator.components}

    def recorded(name: str, run: Run) -> Run:
        def record(feeds: Feeds) -> Mapping[str, Array]:
            found[name] += split_rows(feeds)
            return run(feeds)

        return record

    runs = {component.name: recorded(component.name, component.run) for component in generator.components}
    model = generator.text_to_image(runs)
    known = max((len(tokenizer.pieces()) for tokenizer in model.tokenizers), default=0)
    words = broad_texts(model.tokenizers, generator.prompts.styles, min(texts, known))
    table, scale = generator.sampling.table(), generator.guidance.scale
    draw(model, PictureTask((*examples(generator, pictures), *words[:pictures]), table, scale))
    kept = {name: spread(some, rows) for name, some in found.items() if some}
    if TEXT_ENCODER in found:
        found[TEXT_ENCODER].clear()
        for text in words:
            model.conditions([text])
        kept[TEXT_ENCODER] += found[TEXT_ENCODER]
    return kept


def spread(cases: Sequence[Feeds], count: int) -> list[Feeds]:
    """At most `count` of the cases, at places drawn once for all, in their order.

    Every k-th would do only where k and the rows of a batch have no divisor in common: else it meets the same pictures, or one branch of
    guidance alone.
    """
    places = np.random.default_rng(0).permutation(len(cases))[:count]
    return [cases[i] for i in sorted(places)]


def examples(generator: Generator, count: int) -> tuple[str, ...]:
    """Prompts: the model's own examples by turns, each round in other styles; the fixed prompts where there are none."""
    styles = [f", {style} style" for style in generator.prompts.styles] or [""]
    texts = generator.prompts.examples[::-1] or prompts_of(generator)
    return tuple(texts[i % len(texts)] + styles[(i + i // len(texts)) % len(styles)] for i in range(count))

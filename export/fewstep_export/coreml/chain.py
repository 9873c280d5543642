"""How the pixels of a picture depend on every network that was called for it: the chain of calls, walked backwards.

The sampler is linear, so that what a call of the denoiser is given is a sum of scalars times the outputs of the calls before. Of these
scalars, of guidance m = (1 - w) m_0 + w m_c and of the networks' own gradients the gradient of a picture is made, one call at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fewstep.engines.coreml import split_rows
from fewstep.loop import run
from fewstep.network import Feeds, Run
from fewstep.step_table import StepTable
from fewstep.text_to_image import Drawing
from fewstep_export.components import Array, Generator

Backward = Callable[["Call", Feeds], Feeds]
"""(call, gradients by output) -> gradients by input, of those inputs that have one."""


@dataclass(frozen=True)
class Call:
    """One row of one call of a network."""

    component: str
    feeds: Feeds
    outputs: Feeds


@dataclass(frozen=True)
class Chain:
    """The calls that made a picture.

    Attributes:
        texts: of the text encoder.
        steps: of the denoiser: for every row of the table, one call, or one without and one with the prompt.
        decoded: of the decoder.
    """

    texts: Sequence[Call]
    steps: Sequence[Sequence[Call]]
    decoded: Call

    def calls(self) -> list[Call]:
        """All, in order."""
        return [*self.texts, *(call for step in self.steps for call in step), self.decoded]


def draw_chain(generator: Generator, prompt: str, seed: int, table: StepTable) -> Chain:
    """The calls of the torch modules on the way to a picture."""
    calls: dict[str, list[list[Call]]] = {component.name: [] for component in generator.components}

    def recorded(name: str, network: Run) -> Run:
        def record(feeds: Feeds) -> Mapping[str, Array]:
            outputs = network(feeds)
            rows = zip(split_rows(_copied(feeds)), split_rows(_copied(outputs)), strict=True)
            calls[name].append([Call(name, *row) for row in rows])
            return outputs

        return record

    runs = {component.name: recorded(component.name, component.run) for component in generator.components}
    drawing = Drawing([prompt], [seed], table, generator.guidance.scale)
    generator.text_to_image(runs).draw(drawing)
    texts = [call for some in calls.get("text_encoder", []) for call in some]
    return Chain(texts, calls["denoiser"], calls["decoder"][0][0])


def walk_back(
    chain: Chain, generator: Generator, table: StepTable, pixels: Array, backward: Backward
) -> None:
    """Calls `backward` on every call of the chain, last first, with the gradients of sum(pixels * picture) by its outputs."""
    scale = np.array(generator.latent.scale, np.float32)[:, None, None]
    (image,) = chain.decoded.outputs
    final = backward(chain.decoded, {image: pixels})["latents"] / scale
    told: list[dict[str, Array]] = [{} for _ in chain.texts]
    seen: dict[int, Array] = {}
    inputs = mixing(table)
    for n in reversed(range(len(chain.steps))):
        gradient = inputs[-1, n] * final + sum(inputs[k, n] * seen[k] for k in seen)
        seen[n] = np.zeros_like(gradient)
        for share, call in zip(
            _shares(len(chain.steps[n]), generator.guidance.scale), chain.steps[n], strict=True
        ):
            (output,) = call.outputs
            found = backward(call, {output: (share * gradient).astype(np.float32)})
            seen[n] += found["latents"]
            for text, total in zip(chain.texts, told, strict=True):
                _add_told(total, text, call, found)
    for text, total in zip(chain.texts, told, strict=True):
        if total:
            backward(text, total)


def mixing(table: StepTable) -> npt.NDArray[np.float32]:
    """What each output of the network adds to what it is given later, (N + 1, N) for N rows; the last row is the result's."""
    count = len(table.rows)
    outputs, given = iter(np.eye(count, dtype=np.float32)), []

    def model(x: Array, _timestep: float) -> Array:
        given.append(x.copy())
        return next(outputs)

    for _, latents in run(table, lambda _stream: np.zeros(count, np.float32), model):
        last = latents.copy()
    return np.stack([*given, last])


def _shares(branches: int, scale: float) -> Sequence[float]:
    return (1.0,) if branches == 1 else (1.0 - scale, scale)


def _add_told(total: dict[str, Array], text: Call, call: Call, found: Feeds) -> None:
    """Adds the gradients of those inputs of the call that this text gave it."""
    for name, output in text.outputs.items():
        if name in found and np.array_equal(call.feeds[name], output):
            total[name] = total[name] + found[name] if name in total else found[name]


def _copied(feeds: Feeds) -> Feeds:
    return {name: np.array(value) for name, value in feeds.items()}

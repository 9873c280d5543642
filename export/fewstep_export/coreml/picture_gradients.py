"""What storing a weight in fewer bits does to whole pictures, told by gradients: for all weights of all networks at once.

For a random sign at every pixel let g = d(sum sign * picture) / dW. To first order (g . dW)^2 is, in expectation over the signs, the
squared error of the picture if W becomes W + dW. One walk back through the calls that made a picture gives g for every weight, so that
one in the text encoder and one in the decoder are told in one currency. Pictures differ in how much they depend on weights, by a factor
of 1,000 and more; each counts as much as any other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fewstep.network import Feeds
from fewstep.step_table import StepTable
from fewstep_export.components import Generator
from fewstep_export.coreml.calibration import Weights
from fewstep_export.coreml.chain import Call, Chain, draw_chain, walk_back
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.trajectories import examples

PROBES = 24
"""Pictures, each under signs of its own: the estimate of an error then has a relative deviation of 0.3."""
STEPS = 4
"""At most; a model of more steps is drawn in fewer here."""
Changes = Mapping[str, Mapping[int, Tensor]]
"""By the name of a weight and by bits, the changed weight (O, K)."""
Errors = Mapping[str, Mapping[int, float]]
"""By the name of a weight and by bits, its share in the squared error of pictures, in a unit that all networks share."""
PictureErrors = Callable[[Mapping[str, Path], Mapping[str, Changes]], Mapping[str, Errors]]
"""(FP16 packages, changes) -> errors, all by component."""


def picture_errors(
    generator: Generator, packages: Mapping[str, Path], changes: Mapping[str, Changes], probes: int = PROBES
) -> Mapping[str, Errors]:
    """What each changed weight does to pictures if it alone is changed.

    Args:
        generator: the model, which draws the model's own examples.
        packages: its FP16 packages by component.
        changes: by component, the weights as they are stored.
        probes: pictures that are drawn.
    """
    sampling = generator.sampling
    table = sampling.table(min(sampling.steps, STEPS))
    networks = {name: Network.of(path, changes[name]) for name, path in packages.items()}
    total = {name: {w: dict.fromkeys(some, 0.0) for w, some in c.items()} for name, c in changes.items()}
    for seed, prompt in enumerate(examples(generator, probes)):
        walk(networks, draw_chain(generator, prompt, seed, table), generator, table, seed)
        strength = sum(network.strength() for network in networks.values()) or 1.0
        for name, network in networks.items():
            for weight, found in network.take().items():
                for bits, change in found.items():
                    total[name][weight][bits] += change**2 / strength / probes
    return total


@dataclass(frozen=True)
class Network:
    """A package whose weights collect gradients.

    Attributes:
        evaluate: in float32.
        weights: (O, K) by name.
        changes: dW by weight and bits.
    """

    evaluate: Evaluator
    weights: Mapping[str, Tensor]
    changes: Changes

    @classmethod
    def of(cls, path: Path, stored: Changes) -> "Network":
        weights = Weights.read(path, 1).values
        changes = {
            w: {bits: value - weights[w] for bits, value in some.items()} for w, some in stored.items()
        }
        leaves = {name: weights[name].clone().requires_grad_() for name in stored}
        return cls(Evaluator(path, "fp32"), leaves, changes)

    def backward(self, call: Call, gradients: Feeds) -> Feeds:
        """Gradients by the inputs of floating point, from those by the outputs; those of the weights are added up."""
        feeds = {name: torch.from_numpy(np.array(value)) for name, value in call.feeds.items()}
        floats = {name: value.requires_grad_() for name, value in feeds.items() if value.is_floating_point()}
        outputs = self.evaluate.tensors(feeds, self.weights)
        given = {n: torch.from_numpy(np.array(g)) for n, g in gradients.items() if outputs[n].requires_grad}
        if given:  # none in a text encoder of which no weight is changed
            torch.autograd.backward([outputs[name] for name in given], list(given.values()))
        return {name: value.grad.numpy() for name, value in floats.items() if value.grad is not None}

    def strength(self) -> float:
        """The squared norm of all gradients."""
        return sum(float(w.grad.square().sum()) for w in self.weights.values() if w.grad is not None)

    def take(self) -> Mapping[str, Mapping[int, float]]:
        """The products g . dW by weight and bits, and no gradients afterwards."""
        found = {
            name: {bits: float((weight.grad * change).sum()) for bits, change in self.changes[name].items()}
            for name, weight in self.weights.items()
            if weight.grad is not None
        }
        for weight in self.weights.values():
            weight.grad = None
        return found


def walk(
    networks: Mapping[str, Network], chain: Chain, generator: Generator, table: StepTable, seed: int
) -> None:
    """Adds up the gradients of one picture under random signs."""
    (picture,) = chain.decoded.outputs.values()
    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), picture.shape)
    walk_back(
        chain, generator, table, signs, lambda call, given: networks[call.component].backward(call, given)
    )

"""A network that learns to be itself in 8 bits: on its sampler's own way, and with less error where ONNX Runtime computes integers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fewstep.loop import run
from fewstep.network import Feeds
from fewstep.samplers import compile_table
from fewstep_distillation.methods.quantisation_aware import QuantisationAware, QuantisationAwareMethod
from fewstep_distillation.recipe import DistillationRecipe
from fewstep_export.components import Component
from fewstep_export.onnx_export import export_component
from fewstep_quantization.sessions import network
from fewstep_quantization.static_graph import quantise_graph

Recipe = Callable[..., DistillationRecipe]
CPU = torch.device("cpu")
INPUTS = ("latents", "timestep", "text_states", "text_mask")


@pytest.fixture
def method(recipe: Recipe) -> QuantisationAwareMethod:
    found = QuantisationAware(calibration=2).build(recipe(QuantisationAware(), steps=3))
    found.prepare(CPU)
    return found


@pytest.mark.parametrize("sampler", ["flow-euler", "flow-renoise"])
def test_it_walks_where_the_runtimes_loop_goes(method: QuantisationAwareMethod, sampler: str) -> None:
    own = method.checkpoint.config
    config = replace(own, sampling=replace(own.sampling, sampler=sampler))
    method.checkpoint = replace(method.checkpoint, config=config)
    generator, again = (torch.Generator().manual_seed(5) for _ in range(2))
    batch = method.batch(2, torch.Generator().manual_seed(0))
    walked = method.walk(batch, 3, generator)
    asked: list[torch.Tensor] = []

    def model(x: np.ndarray, _timestep: float) -> np.ndarray:
        asked.append(torch.from_numpy(x.copy()))
        sigma = walked[len(asked) - 1][1]
        return method.guided(asked[-1], sigma, batch).numpy()

    def noise(_stream: int) -> np.ndarray:
        return method.noise(batch.x0, again).numpy()

    table = compile_table(sampler, 3, own.sampling.shift)
    list(run(table, noise, model))
    for (x, sigma), right, row in zip(walked, asked, table.rows, strict=True):
        torch.testing.assert_close(x, right, atol=1e-5, rtol=1e-5)
        assert 1000 * float(sigma[0]) == pytest.approx(row.timestep, rel=1e-5)


def int8_error(module: nn.Module, method: QuantisationAwareMethod) -> float:
    """Of the module's graph in integers against the float teacher, at points that training did not see."""

    def calls(seed: int) -> list[Feeds]:
        found: list[Feeds] = []
        generator = torch.Generator().manual_seed(seed)
        for _ in range(4):
            batch = method.batch(4, generator)
            for x, sigma in method.walk(batch, 3, generator):
                values = (x, 1000 * sigma, batch.states, batch.mask)
                found.append({name: value.numpy() for name, value in zip(INPUTS, values, strict=True)})
        return found

    calibration, held = calls(100), calls(200)
    component = Component("denoiser", module.eval(), INPUTS, ("velocity",))
    graph, _ = quantise_graph(export_component(component, held[0]).model, calibration)
    integers = network(graph, 1)
    errors = []
    for call in held:
        with torch.no_grad():
            expected = method.teacher(*(torch.from_numpy(call[name]) for name in INPUTS)).numpy()
        found = integers(call)["velocity"]
        errors.append(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    return float(np.mean(errors))


def test_the_integers_of_onnx_runtime_err_less_afterwards(method: QuantisationAwareMethod) -> None:
    """A random network has nothing to unlearn but the rounding of its weights, so the gain is small: 0.0101 became 0.0098."""
    before = int8_error(method.teacher, method)
    optimiser = torch.optim.Adam([p for p in method.module.parameters() if p.requires_grad], 2e-4)
    generator, updates = torch.Generator().manual_seed(1), 100
    for k in range(updates):
        optimiser.param_groups[0]["lr"] = 2e-4 * (1 - k / updates)
        loss, _ = method.loss(method.module, 8, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = int8_error(method._checkpoint(method.module).denoiser, method)
    assert after < 0.99 * before


def test_other_steps_than_the_networks_own_are_refused(recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="keeps its 3 steps, found steps = 2"):
        QuantisationAware().build(recipe(QuantisationAware(), steps=2))
    with pytest.raises(ValueError, match="must be positive, found 0"):
        QuantisationAware(calibration=0)

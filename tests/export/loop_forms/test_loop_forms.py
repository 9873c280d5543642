"""The same picture from all three forms of the loop: on the host, one fused step a call, and unrolled."""

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from fewstep.fused import run_fused
from fewstep.guidance import Conditions, GuidanceConfig, guide
from fewstep.loop import run
from fewstep.manifest import Guidance, Latent
from fewstep.network import Network
from fewstep.noise import gaussian
from fewstep.samplers import compile_table
from fewstep.step_table import StepTable
from fewstep_export.loop_forms.fused_step import FusedStepConfig, fused_step
from fewstep_export.loop_forms.unrolled import unrolled
from fewstep_export.onnx_export import Graphs, to_bytes
from fewstep_export.session import runner

Array = npt.NDArray[np.float32]
BATCH, SHAPE, TEXT_DIM = 2, (4, 8, 8), 32
LATENT = Latent((4, 8, 8), (0.5, 1.0, 2.0, 1.5), (0.0, 0.1, 0.2, -0.1))
TABLES = {
    "dpm++2m": compile_table("flow-dpm++2m", 4, 3.0),
    "euler": compile_table("flow-euler", 4, 3.0),
    "lcm": StepTable.from_diffusers({"_class_name": "LCMScheduler"}, 3),  # draws noise
    "unipc": StepTable.from_diffusers({"_class_name": "UniPCMultistepScheduler", "solver_order": 3}, 5),
}
ROUNDING = 2e-5  # of a latent's largest value: engines may fuse a product and a sum, which rounds once instead of twice


@pytest.fixture(scope="module")
def texts() -> tuple[Conditions, Conditions]:
    """A conditional and an unconditional batch of text states."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((2 * BATCH, 8, TEXT_DIM)).astype(np.float32)
    mask = np.ones((2 * BATCH, 8), dtype=np.float32)
    mask[:, 6:] = 0
    first, second = slice(BATCH), slice(BATCH, None)
    return (
        {"text_states": states[first], "text_mask": mask[first]},
        {"text_states": states[second], "text_mask": mask[second]},
    )


def noise(stream: int) -> Array:
    """Two pictures' noise."""
    return np.stack([gaussian(SHAPE, seed, stream) for seed in range(BATCH)])


def host(graphs: Graphs, table: StepTable, texts: tuple[Conditions, Conditions], scale: float) -> Array:
    """The latents by the runtime's loop."""
    session = runner(graphs["denoiser"].model)

    def denoise(x: Array, t: Array, conditions: Conditions) -> Array:
        return session({"latents": x, "timestep": t, **conditions})["velocity"]

    model = guide(denoise, texts[0], None if scale == 1.0 else texts[1], GuidanceConfig(scale))
    *_, (_, latents) = run(table, noise, model)
    return latents


def feeds(texts: tuple[Conditions, Conditions], guided: bool) -> dict[str, Array]:
    """The text inputs of a graph."""
    negative = {f"negative_{name}": value for name, value in texts[1].items()}
    return {**texts[0], **(negative if guided else {})}


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("name", TABLES)
def test_the_fused_step_gives_the_latents_of_the_host_loop(
    graphs: Graphs, texts: tuple[Conditions, Conditions], name: str, scale: float
) -> None:
    table, guided = TABLES[name], scale != 1.0
    config = FusedStepConfig(
        3, stochastic=True, guidance=Guidance(scale) if guided else None
    )  # more than some of these tables need
    session = all_outputs(fused_step(graphs["denoiser"].model, config))
    text = feeds(texts, guided)
    *_, (_, found) = run_fused(table, noise, lambda x, out: session.write({**x, **text}, out), 3, True, scale)
    expected = host(graphs, table, texts, scale)
    assert np.abs(found - expected).max() <= ROUNDING * np.abs(expected).max()


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("name", TABLES)
def test_the_unrolled_graph_gives_the_pixels_of_the_host_loop(
    graphs: Graphs, texts: tuple[Conditions, Conditions], name: str, scale: float
) -> None:
    table, guided = TABLES[name], scale != 1.0
    model = unrolled(
        graphs["denoiser"].model, graphs["decoder"].model, table, LATENT, Guidance(scale) if guided else None
    )
    drawn = {
        f"noise_{i}": noise(i) for i in range(len(table.rows) + 1) if i == 0 or any(table.rows[i - 1].noise)
    }
    guidance = {"guidance_scale": np.array([scale], dtype=np.float32)} if guided else {}
    found = runner(model)({**drawn, **guidance, **feeds(texts, guided)})["image"]
    latents = host(graphs, table, texts, scale)
    scale_c, shift_c = (np.array(v, dtype=np.float32)[:, None, None] for v in (LATENT.scale, LATENT.shift))
    z = latents / scale_c + shift_c
    expected = runner(graphs["decoder"].model)({"latents": z})["image"]
    assert np.abs(found - expected).max() <= 1e-4


def test_unrolling_costs_no_weights(graphs: Graphs) -> None:
    single, decoder = graphs["denoiser"].model, graphs["decoder"].model
    model = unrolled(single, decoder, TABLES["dpm++2m"], LATENT, Guidance(3.0))
    assert len(to_bytes(model)) < len(to_bytes(single)) + len(to_bytes(decoder)) + 400_000
    assert weights(model) == pytest.approx(weights(single) + weights(decoder), rel=1e-2)


def test_a_graph_without_guidance_or_noise_has_no_inputs_for_them(graphs: Graphs) -> None:
    model = fused_step(graphs["denoiser"].model, FusedStepConfig(1, stochastic=False, guidance=None))
    assert [value.name for value in model.graph.input] == ["row", "state_0", "text_states", "text_mask"]


def all_outputs(model: onnx.ModelProto) -> Network:
    """A session that gives every output by name."""
    return Network(frozenset(value.name for value in model.graph.input), runner(model))


def weights(model: onnx.ModelProto) -> int:
    """Numbers in all initializers."""
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)

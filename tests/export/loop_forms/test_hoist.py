import numpy as np
import onnx
import pytest

from fewstep.errors import FewstepError
from fewstep_export.fixed_inputs import Cases
from fewstep_export.loop_forms.graph_builder import GraphBuilder
from fewstep_export.loop_forms.hoist import Hoisted, hoist
from fewstep_export.onnx_export import Graphs
from fewstep_export.session import tensors

CONDITIONS = ("text_states", "text_mask")


@pytest.fixture(scope="module")
def halves(graphs: Graphs) -> Hoisted:
    """The tiny denoiser, hoisted."""
    return hoist(graphs["denoiser"].model, CONDITIONS)


def names(model: onnx.ModelProto) -> list[str]:
    return [value.name for value in model.graph.input]


def test_both_halves_together_are_the_network_bit_for_bit(
    graphs: Graphs, cases: Cases, halves: Hoisted
) -> None:
    feeds = cases["denoiser"][0].feeds
    whole = tensors(graphs["denoiser"].model, feeds)["velocity"]
    hoisted = tensors(halves.prompt, {name: feeds[name] for name in CONDITIONS})
    given = {name: hoisted[name] for name in names(halves.step) if name.startswith("hoisted_")}
    found = tensors(halves.step, {"latents": feeds["latents"], "timestep": feeds["timestep"], **given})[
        "velocity"
    ]
    assert np.array_equal(found, whole)


def test_the_step_no_longer_sees_the_text(halves: Hoisted) -> None:
    assert names(halves.prompt) == list(CONDITIONS)
    assert names(halves.step)[:2] == ["latents", "timestep"]
    assert not set(CONDITIONS) & set(names(halves.step))


def test_keys_and_values_are_projected_once_a_prompt(halves: Hoisted) -> None:
    """What belongs to the text stands in the prompt's half, and nowhere else."""
    prompt, step = (
        {tensor.name for tensor in half.graph.initializer} for half in (halves.prompt, halves.step)
    )
    assert {f"blocks.{i}.cross_attention.to_kv.bias" for i in range(2)} <= prompt - step
    assert not [name for name in prompt & step if name.startswith("blocks")]


def test_a_network_without_conditions_is_refused(graphs: Graphs) -> None:
    with pytest.raises(FewstepError, match="nothing to hoist"):
        hoist(graphs["decoder"].model, ("text_states",))


def test_what_is_not_one_row_a_picture_stays_in_the_step() -> None:
    """A shape, and a tensor with the batch elsewhere, cannot be joined with those of the other branch of guidance."""
    builder = GraphBuilder("denoiser")
    latents, text = builder.input("latents", ["batch", 4]), builder.input("text", ["batch", 4])
    doubled = builder.op("Mul", text, builder.constant(2.0))
    turned = builder.op("Transpose", doubled, perm=[1, 0])
    seen = builder.op("Expand", latents, builder.op("Shape", doubled))
    builder.output(builder.op("MatMul", seen, turned), "output", ["batch", "batch"])
    model = builder.build()
    halves = hoist(model, ["text"])
    assert [node.op_type for node in halves.prompt.graph.node] == ["Mul"]
    assert names(halves.step) == ["latents", "hoisted_0"]
    feeds = {"latents": np.ones((2, 4), np.float32), "text": np.arange(8, dtype=np.float32).reshape(2, 4)}
    given = tensors(halves.prompt, {"text": feeds["text"]})
    step = {name: {**feeds, **given}[name] for name in names(halves.step)}
    assert np.array_equal(tensors(halves.step, step)["output"], tensors(model, feeds)["output"])

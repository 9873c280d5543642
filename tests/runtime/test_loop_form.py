"""Which graphs a form of the loop has, and what they must take and give."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fewstep.errors import BundleError
from fewstep.loop_form import Loop
from fewstep.manifest import Component, TensorSpec, Variant

TOKENS = {"input_ids", "text_mask"}


def graph(inputs: str, outputs: str) -> Component:
    specs = [
        tuple(TensorSpec(name, "float32", ("batch",)) for name in side.split()) for side in (inputs, outputs)
    ]
    return Component("file.onnx", specs[0], specs[1])


ENCODER = graph("input_ids text_mask", "text_states")
DECODER = graph("latents", "image")
PROMPT = graph("text_states text_mask", "hoisted_0 hoisted_1")
STEP = graph("latents timestep hoisted_0 hoisted_1", "velocity")
FUSED = graph("row state_0 state_1 noise text_states negative_text_states text_mask", "next_0 next_1")
UNROLLED = graph("noise_0 noise_2 guidance_scale text_states negative_text_states", "image")
FORMS = {
    "hoisted": (Loop(), {"text_encoder": ENCODER, "prompt": PROMPT, "denoiser": STEP, "decoder": DECODER}),
    "fused": (Loop("fused"), {"text_encoder": ENCODER, "fused_step": FUSED, "decoder": DECODER}),
    "unrolled": (Loop("unrolled", "flow-euler-2"), {"text_encoder": ENCODER, "unrolled": UNROLLED}),
}


def variant(form: str) -> Variant:
    loop, components = FORMS[form]
    return Variant("fp32", "onnxruntime", "fp32", "onnx", components, loop=loop)


@pytest.mark.parametrize(
    ("form", "words"), [("hoisted", "host, hoisted"), ("fused", "fused"), ("unrolled", "unrolled")]
)
def test_every_form_has_its_graphs(form: str, words: str) -> None:
    whole = variant(form)
    whole.check_conditions(TOKENS)
    assert whole.form == words
    assert whole.network is whole.components[{"hoisted": "denoiser", "fused": "fused_step"}.get(form, form)]


WRONG: list[tuple[str, Callable[[Variant], Variant], str]] = [
    (
        "fused",
        lambda v: replace(v, loop=Loop()),
        "expected the components decoder, denoiser, prompt, text_encoder",
    ),
    (
        "unrolled",
        lambda v: replace(v, loop=Loop("unrolled")),
        "expected a step table for the form unrolled alone",
    ),
    ("fused", lambda v: replace(v, loop=Loop("fused", "flow-euler-2")), "found flow-euler-2 for fused"),
    ("hoisted", lambda v: without(v, "prompt"), "found 'hoisted_0', in 'denoiser'"),
    (
        "fused",
        lambda v: changed(v, "fused_step", graph("row state_0", "next_1")),
        "found next_1, in 'fused_step'",
    ),
    ("fused", lambda v: changed(v, "fused_step", graph("row", "next_0")), "found no 'state_0'"),
    ("fused", lambda v: changed(v, "fused_step", graph("row state_0 other", "next_0")), "found 'other'"),
    (
        "unrolled",
        lambda v: changed(v, "unrolled", graph("noise_0", "latents")),
        "found latents, in 'unrolled'",
    ),
    (
        "hoisted",
        lambda v: changed(v, "denoiser", graph("latents timestep negative_x", "m")),
        "found 'negative_x'",
    ),
]


def without(whole: Variant, name: str) -> Variant:
    return replace(whole, components={k: v for k, v in whole.components.items() if k != name})


def changed(whole: Variant, name: str, component: Component) -> Variant:
    return replace(whole, components={**whole.components, name: component})


@pytest.mark.parametrize(("form", "change", "message"), WRONG)
def test_other_graphs_are_refused_by_name(
    form: str, change: Callable[[Variant], Variant], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        change(variant(form)).check_conditions(TOKENS)

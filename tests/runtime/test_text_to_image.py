"""The model as functions: what each network is given, for every kind of condition and guidance."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import tokenizers

from fewstep.errors import FewstepError
from fewstep.loop import Array
from fewstep.manifest import Guidance, Latent, Template, TokenizerFile
from fewstep.network import Feeds, Network
from fewstep.samplers import compile_table
from fewstep.text_to_image import Drawing, TextToImage
from fewstep.tokenizer import Tokenizer

TABLE = compile_table("flow-euler", 2, 1.0)
LATENT = Latent((2, 4, 4), (0.5, 2.0), (0.0, 1.0))


class Recorder:
    """A network that notes what it is given and answers by a function."""

    def __init__(self, inputs: str, answer: Mapping[str, object]) -> None:
        self.inputs, self.answer, self.given = frozenset(inputs.split()), answer, list[Feeds]()

    def network(self) -> Network:
        return Network(self.inputs, self._run)

    def _run(self, feeds: Feeds) -> Feeds:
        self.given.append({name: value.copy() for name, value in feeds.items()})
        return {name: make(feeds) for name, make in self.answer.items()}  # type: ignore[operator]


def words(*names: str) -> Tokenizer:
    """A tokenizer of whole texts."""
    content = tokenizers.Tokenizer(tokenizers.models.WordLevel({name: i + 1 for i, name in enumerate(names)}))
    content.enable_padding(pad_id=0, pad_token="")
    return Tokenizer(content.to_str(), TokenizerFile("words.json", max_length=1))


def states(feeds: Feeds) -> Array:
    return feeds["input_ids"][..., None].astype(np.float32) * np.ones(3, dtype=np.float32)


@pytest.fixture
def encoder() -> Recorder:
    return Recorder("input_ids", {"text_states": states})


@pytest.fixture
def denoiser() -> Recorder:
    return Recorder(
        "latents timestep text_states",
        {"velocity": lambda x: x["latents"] * 0 + x["text_states"].sum((1, 2))[:, None, None, None]},
    )


def model(encoder: Recorder | None, denoiser: Recorder, guidance: Guidance, *texts: Tokenizer) -> TextToImage:
    decoder = Recorder("latents", {"image": lambda x: x["latents"]})
    networks = {"denoiser": denoiser.network(), "decoder": decoder.network()}
    if encoder is not None:
        networks["text_encoder"] = encoder.network()
    return TextToImage(networks, texts or [words("cat", "dog")], guidance, LATENT)


def test_guidance_mixes_the_branches_and_the_latents_are_restored(
    encoder: Recorder, denoiser: Recorder
) -> None:
    drawn = model(encoder, denoiser, Guidance(3.0, "dog"))
    image = drawn.draw(Drawing(["cat"], [7], TABLE))
    m = 6 + 3 * (3 - 6)  # states of "dog" are 2, of "cat" 1, in three channels
    noise = drawn.draw(Drawing(["cat"], [7], replace(TABLE, rows=TABLE.rows[:1]), guidance=1.0))
    latents = (noise - np.reshape([0, 1], (2, 1, 1))) * np.reshape([0.5, 2], (2, 1, 1)) + 0.5 * 3
    expected = (latents - m) / np.reshape([0.5, 2], (2, 1, 1)) + np.reshape([0, 1], (2, 1, 1))
    np.testing.assert_allclose(image, expected, atol=1e-5)
    assert denoiser.given[0]["text_states"][:, 0, 0].tolist() == [2.0, 1.0]


def test_without_a_negative_prompt_its_conditions_are_zero(encoder: Recorder, denoiser: Recorder) -> None:
    drawn = model(encoder, denoiser, Guidance(3.0, None))
    drawn.draw(Drawing(["cat", "dog"], [0, 1], TABLE))
    assert denoiser.given[0]["text_states"][:, 0, 0].tolist() == [0.0, 0.0, 1.0, 2.0]
    drawn.draw(Drawing(["cat"], [0], TABLE, negative_prompt="dog"))
    assert denoiser.given[-1]["text_states"][:, 0, 0].tolist() == [2.0, 1.0]


def test_a_network_that_is_told_the_scale_has_one_branch(encoder: Recorder) -> None:
    told = Recorder("latents timestep text_states guidance", {"velocity": lambda x: x["latents"]})
    drawn = model(encoder, told, Guidance(4.5))
    drawn.draw(Drawing(["cat", "dog"], [0, 1], TABLE))
    drawn.draw(Drawing(["cat"], [0], TABLE, guidance=1.0))
    assert [feeds["guidance"].tolist() for feeds in told.given[::2]] == [[4.5, 4.5], [1.0]]
    assert len(encoder.given) == 3  # no negative prompt is encoded


def test_class_names_need_no_text_encoder() -> None:
    classes = Recorder("latents timestep input_ids", {"velocity": lambda x: x["latents"]})
    model(None, classes, Guidance(2.0)).draw(Drawing(["dog"], [0], TABLE))
    assert classes.given[0]["input_ids"].tolist() == [[0], [2]]  # the empty prompt is padding


def test_several_tokenizers_make_tensors_of_their_own(denoiser: Recorder) -> None:
    both = Recorder("input_ids input_ids_2 text_skip_2", {"text_states": states})
    record = TokenizerFile("words.json", 1, prompt=Template("big ", skip=5))
    second = words("big cat")
    second._record = record
    model(both, denoiser, Guidance(1.0), words("cat"), second).draw(Drawing(["cat"], [0], TABLE))
    (feeds,) = both.given
    assert {name: value.tolist() for name, value in feeds.items()} == {
        "input_ids": [[1]], "input_ids_2": [[1]], "text_skip_2": [5]
    }  # fmt: skip


def test_prompts_without_seeds_and_endless_scales_are_refused() -> None:
    with pytest.raises(FewstepError, match="one seed for each of 1 or more prompts, found 0 for 1"):
        Drawing(["cat"], [], TABLE)
    with pytest.raises(FewstepError, match="a finite guidance scale, found nan"):
        Drawing(["cat"], [0], TABLE, guidance=float("nan"))


def test_what_depends_on_the_prompt_alone_is_computed_once_a_prompt(encoder: Recorder) -> None:
    prompt = Recorder("text_states", {"hoisted_0": lambda x: x["text_states"].sum((1, 2)) + 1})
    step = Recorder(
        "latents timestep hoisted_0",
        {"velocity": lambda x: x["latents"] * 0 + x["hoisted_0"][:, None, None, None]},
    )
    drawn = model(encoder, step, Guidance(2.0, None))
    hoisted = replace(drawn, networks={**drawn.networks, "prompt": prompt.network()})
    hoisted.draw(Drawing(["cat", "dog"], [0, 1], TABLE))
    assert len(prompt.given) == 2 and len(step.given) == 2  # a call for both prompts, one for none; two steps
    assert step.given[0]["hoisted_0"].tolist() == [
        1,
        1,
        4,
        7,
    ]  # without a prompt the states are 0, not what is made of them


def test_a_fused_step_gets_both_branches_and_writes_into_the_loops_arrays(encoder: Recorder) -> None:
    fused = Recorder(
        "row state_0 text_states negative_text_states", {"next_0": lambda x: x["state_0"] + x["row"][2]}
    )
    networks = {
        "text_encoder": encoder.network(),
        "fused_step": fused.network(),
        "decoder": Network(frozenset({"latents"}), lambda x: {"image": x["latents"]}),
    }
    drawn = TextToImage(
        networks, [words("cat", "dog")], Guidance(3.0, "dog"), Latent((2, 4, 4), (1, 1), (0, 0))
    )
    image = drawn.draw(Drawing(["cat"], [0], TABLE))
    start = fused.given[0]["state_0"]
    np.testing.assert_allclose(image, start + 2 * 3, atol=1e-6)  # the scale of guidance, in two rows
    assert fused.given[0]["text_states"].max() == 1 and fused.given[0]["negative_text_states"].max() == 2


@pytest.mark.parametrize(
    ("inputs", "drawing", "message"),
    [
        ("row state_0 text_states", {"guidance": 3.0}, "expected guidance 1, .* found 3"),
        (
            "row state_0 text_states negative_text_states",
            {"mode": "sequential"},
            "expected batched guidance, .* found sequential",
        ),
    ],
)
def test_guidance_that_is_not_inside_the_graph_is_refused(
    encoder: Recorder, inputs: str, drawing: dict[str, str], message: str
) -> None:
    networks = {"text_encoder": encoder.network(), "fused_step": Recorder(inputs, {}).network()}
    drawn = TextToImage(networks, [words("cat")], Guidance(3.0), LATENT)
    with pytest.raises(FewstepError, match=message):
        drawn.draw(Drawing(["cat"], [0], TABLE, **drawing))  # type: ignore[arg-type]

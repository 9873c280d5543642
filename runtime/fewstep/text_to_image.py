"""A text-to-image model as functions of arrays: prompts to conditions, the loop in the form of its graphs, latents to pictures.

It knows no engine and no file: `fewstep.pipeline` gives it the graphs of a bundle, the export the torch originals.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from fewstep.errors import FewstepError
from fewstep.finite import require_finite, step_name, watched
from fewstep.fused import run_fused
from fewstep.guidance import Conditions, GuidanceConfig, GuidanceMode, guide
from fewstep.loop import Array, Noise, run
from fewstep.loop_form import NEGATIVE, NETWORKS, TEXT_ENCODER, buffers
from fewstep.manifest import Guidance, Latent, token_suffix
from fewstep.network import Network
from fewstep.noise import gaussian
from fewstep.step_table import StepTable
from fewstep.tokenizer import Tokenizer
from fewstep.unrolled import draw_unrolled

OnStep = Callable[[int, Array], None]
"""Called after evaluation i with (i, latents (B, C, h, w)); the latents are the loop's own, so copy them to keep them.

An unrolled graph tells nothing before its picture: it is not called then. A loop on a GPU tells of the last evaluation alone.
"""
Branches = tuple[Conditions, Conditions | None]
"""The conditions of the prompt and, with guidance, of the negative prompt."""


@dataclass(frozen=True)
class Drawing:
    """What to draw in one batch; None takes the model's default.

    Args:
        prompts: one a picture.
        seeds: of the noise, one a picture, 0 <= seed < 2^64.
        table: the sampler.
        guidance: scale w; 1 turns guidance off.
        negative_prompt: what the unconditional branch reads.
        mode: how the two branches are evaluated.
        sides: height and width of the latents, for graphs that take others than the model's.
    """

    prompts: Sequence[str]
    seeds: Sequence[int]
    table: StepTable
    guidance: float | None = None
    negative_prompt: str | None = None
    mode: GuidanceMode = "batched"
    sides: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not self.prompts or len(self.prompts) != len(self.seeds):
            raise FewstepError(
                f"expected one seed for each of 1 or more prompts, found {len(self.seeds)} for {len(self.prompts)}"
            )
        if self.guidance is not None and not isfinite(self.guidance):
            raise FewstepError(
                f"expected a finite guidance scale, found {self.guidance}; a usual scale is 1 to 8"
            )


@dataclass(frozen=True)
class TextToImage:
    """The networks of a variant by component, with what a bundle tells about them; `fewstep.loop_form` says which there may be."""

    networks: Mapping[str, Network]
    tokenizers: Sequence[Tokenizer]
    guidance: Guidance
    latent: Latent

    def draw(self, drawing: Drawing, on_step: OnStep = lambda _i, _latents: None) -> Array:
        """Pictures (B, channels, H, W) float32 in [0, 1].

        Picture k depends on its prompt and its seed alone, up to the rounding of the engine at another batch size.

        Raises:
            FewstepError: a prompt is too long, or the graphs hold another form of guidance or sampler than what is asked for.
            NonFiniteError: a graph gave NaN or infinity; the message names the graph and the step.
        """
        branches = self._branches(drawing)

        shape = (self.latent.shape[0], *(drawing.sides or self.latent.shape[1:]))

        def noise(stream: int) -> Array:
            return np.stack([gaussian(shape, seed, stream) for seed in drawing.seeds])

        if (unrolled := self.networks.get("unrolled")) is not None:
            image = draw_unrolled(unrolled, drawing.table, noise, _both(*branches), self._scale(drawing))
            require_finite({"image": image}, "the graph 'unrolled'")
            return image
        for i, latents in self._loop(drawing, noise, branches):
            require_finite({"the latents": latents}, f"the loop {step_name(drawing.table, i)}")
            on_step(i, latents)
        image = self.decode(latents)
        require_finite({"image": image}, "the decoder")
        return image

    def conditions(self, texts: Sequence[str], negative: bool = False) -> Conditions:
        """What the denoiser is told of B texts: tensors of the tokenizers and outputs of the text encoder, as far as it takes them.

        Raises:
            FewstepError: a text has more tokens than the text encoder takes.
        """
        return self._told(self._encodings(texts, negative))

    def tokens(self, texts: Sequence[str], negative: bool = False) -> Conditions:
        """The tensors of all tokenizers by name; see `fewstep.tokenizer.Tokenizer.encode`."""
        return {
            f"{name}{token_suffix(k)}": tensor
            for k, tokenizer in enumerate(self.tokenizers)
            for name, tensor in tokenizer.encode(texts, negative).items()
        }

    def denoise(self, latents: Array, timestep: Array, conditions: Conditions) -> Array:
        """One evaluation of the denoiser: its output (B, C, h, w) for normalised latents at timestep (B,)."""
        (output,) = self.networks["denoiser"](
            {"latents": latents, "timestep": timestep, **conditions}
        ).values()
        return output

    def decode(self, latents: Array) -> Array:
        """Pictures (B, channels, H, W) of normalised latents: the decoder sees z = z_n / scale + shift."""
        scale, shift = (
            np.array(values, dtype=np.float32)[:, None, None]
            for values in (self.latent.scale, self.latent.shift)
        )
        return self.networks["decoder"]({"latents": latents / scale + shift})["image"]

    @property
    def told_guidance(self) -> bool:
        """Whether the denoiser is told the scale of guidance, and has one branch."""
        return "guidance" in self._network.inputs

    @property
    def guided(self) -> bool:
        """Whether both branches of guidance are inside the graph."""
        return any(name.startswith(NEGATIVE) for name in self._network.inputs)

    @property
    def _network(self) -> Network:
        """The graph that holds the denoiser."""
        return next(self.networks[name] for name in NETWORKS.values() if name in self.networks)

    def _loop(self, drawing: Drawing, noise: Noise, branches: Branches) -> Iterator[tuple[int, Array]]:
        """(i, latents) after every row, by the host's loop or by a graph of one row."""
        if (step := self.networks.get("fused_step")) is None:
            model = guide(self.denoise, *branches, self._guidance(drawing))
            return run(drawing.table, noise, watched(model, drawing.table))
        conditions = _both(*branches)
        if step.loop is not None:
            told = {name: value for name, value in conditions.items() if name in step.inputs}
            return step.loop(drawing.table, noise, told, self._scale(drawing))
        return run_fused(
            drawing.table,
            noise,
            lambda feeds, outputs: step.write({**feeds, **conditions}, outputs),
            buffers(step.inputs),
            "noise" in step.inputs,
            self._scale(drawing),
        )

    def _encodings(self, texts: Sequence[str], negative: bool = False) -> Conditions:
        """All that is known of B texts: tensors of the tokenizers and outputs of the text encoder."""
        tokens = self.tokens(texts, negative)
        return {**tokens, **self._encoded(tokens, len(texts))}

    def _told(self, encodings: Conditions) -> Conditions:
        """What the denoiser takes of it, hoisted parts included: these are computed here, once a prompt."""
        prompt = self.networks.get("prompt")
        known = encodings if prompt is None else {**encodings, **prompt(encodings)}
        return {name: known[name] for name in self._network.inputs if name in known}

    def _encoded(self, tokens: Conditions, count: int) -> Conditions:
        """The outputs of the text encoder, one text a call: a text then has the same states in every batch, bit for bit."""
        encoder = self.networks.get(TEXT_ENCODER)
        if encoder is None:
            return {}
        outputs = [
            encoder({name: tensor[k : k + 1] for name, tensor in tokens.items()}) for k in range(count)
        ]
        encoded = {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}
        require_finite(encoded, "the text encoder")
        return encoded

    def _branches(self, drawing: Drawing) -> Branches:
        scale, count = self._scale(drawing), len(drawing.prompts)
        encodings = self._encodings(drawing.prompts)
        conditions = self._told(encodings)
        if self.told_guidance:
            return {**conditions, "guidance": np.full(count, scale, dtype=np.float32)}, None
        self._require_fit(scale, drawing.mode)
        if scale == 1.0 and not self.guided:
            return conditions, None
        return conditions, self._negative(drawing, encodings)

    def _negative(self, drawing: Drawing, encodings: Conditions) -> Conditions:
        """The conditions of the negative prompt, encoded once and repeated for every picture; of zeros without one."""
        prompt = self.guidance.negative_prompt if drawing.negative_prompt is None else drawing.negative_prompt
        if prompt is None:
            return self._told({name: np.zeros_like(value) for name, value in encodings.items()})
        single = self.conditions([prompt], negative=True)
        return {name: np.repeat(value, len(drawing.prompts), axis=0) for name, value in single.items()}

    def _require_fit(self, scale: float, mode: GuidanceMode) -> None:
        """Whether a graph with more than the denoiser inside can do this guidance."""
        if "denoiser" in self.networks:
            return
        if scale != 1.0 and not self.guided:
            raise FewstepError(
                f"expected guidance 1, for which the graph was exported, found {scale:g}; choose a variant whose loop runs on the host"
            )
        if mode != "batched":
            raise FewstepError(
                f"expected batched guidance, which is inside the graph, found {mode}; choose a variant whose loop runs on the host"
            )

    def _guidance(self, drawing: Drawing) -> GuidanceConfig:
        return GuidanceConfig(self._scale(drawing), drawing.mode, keep_norm=self.guidance.keep_norm)

    def _scale(self, drawing: Drawing) -> float:
        return self.guidance.scale if drawing.guidance is None else drawing.guidance


def _both(conditions: Conditions, negative: Conditions | None) -> Conditions:
    """The inputs of a graph with guidance inside."""
    return {**conditions, **{f"{NEGATIVE}{name}": value for name, value in (negative or {}).items()}}

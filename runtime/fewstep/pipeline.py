"""Text to picture: tokenizer, text encoder, the loop around the denoiser, decoder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from fewstep.bundle import Bundle
from fewstep.engines import Engine, Tensors
from fewstep.errors import BundleError, FewstepError
from fewstep.guidance import GuidanceMode, TextStates, guide
from fewstep.loop import Array, run
from fewstep.manifest import Component, Variant
from fewstep.noise import gaussian
from fewstep.step_table import StepTable
from fewstep.tokenizer import Tokenizer

if TYPE_CHECKING:
    from PIL.Image import Image

OnStep = Callable[[int, Array], None]
"""Called after evaluation i with (i, latents (B, C, h, w)); the latents are the loop's own, so copy them to keep them."""


@dataclass
class Timings:
    """Seconds of one generation: of every call into a graph, by component, and of the whole."""

    calls: dict[str, list[float]] = field(default_factory=dict)
    total: float = 0.0

    @property
    def host_share(self) -> float:
        """The part of the whole that was spent outside the graphs, 0 to 1."""
        inside = sum(map(sum, self.calls.values()))
        return 1.0 - inside / self.total if self.total else 0.0


class Pipeline:
    """A variant of a bundle with its graphs loaded, ready to generate.

    Args:
        bundle: an opened bundle or the path of one.
        variant: its name; None takes the bundle's default.
        threads: threads inside one operator; None leaves it to the engine.
        guidance_mode: "batched" evaluates both branches of guidance in one call, "sequential" in two.

    Raises:
        FewstepError: a file of the variant is missing, changed or broken, or a setting is out of range.
    """

    def __init__(
        self,
        bundle: Bundle | Path | str,
        variant: str | None = None,
        threads: int | None = None,
        guidance_mode: GuidanceMode = "batched",
    ) -> None:
        if guidance_mode not in ("batched", "sequential"):
            raise FewstepError(
                f"expected guidance mode batched or sequential, found '{guidance_mode}'; choose one"
            )
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        self.manifest = self.bundle.manifest
        self.variant = self.manifest.variant(variant)
        self.guidance_mode: GuidanceMode = guidance_mode
        self.timings = Timings()
        """The timings of the last generation."""
        self._engines = {
            name: load_engine(self.variant, self.bundle.file(component.file), component, threads)
            for name, component in self.variant.components.items()
        }
        tokenizer = self.manifest.tokenizer
        self._tokenizer = Tokenizer(self.bundle.file(tokenizer.file), tokenizer.max_length)

    def generate(
        self,
        prompt: str,
        seed: int = 0,
        table: StepTable | str | None = None,
        guidance: float | None = None,
        negative_prompt: str | None = None,
        on_step: OnStep | None = None,
    ) -> "Image":
        """The RGBA picture (straight alpha, 8 bits) of a prompt; the same arguments give the same bits.

        Args:
            prompt: what to draw.
            seed: of the noise, 0 <= seed < 2^64.
            table: a step table or the name of one of the bundle's; None takes the bundle's default.
            guidance: scale w; 1 turns guidance off; None takes the bundle's default.
            negative_prompt: what the unconditional branch reads; None takes the bundle's default.
            on_step: called after every evaluation.

        Raises:
            FewstepError: the prompt is too long, the table is unknown, or the result is not finite.
        """
        from fewstep.image import to_pil

        return to_pil(self.generate_array([prompt], [seed], table, guidance, negative_prompt, on_step)[0])

    def generate_array(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        table: StepTable | str | None = None,
        guidance: float | None = None,
        negative_prompt: str | None = None,
        on_step: OnStep | None = None,
    ) -> Array:
        """Pictures (B, 4, H, W) float32, RGBA with premultiplied alpha, of B prompts in one batch; see `generate`.

        Picture k depends on prompts[k] and seeds[k] alone, up to the rounding of the engine at another batch size.
        """
        if not prompts or len(prompts) != len(seeds):
            raise FewstepError(
                f"expected one seed for each of 1 or more prompts, found {len(seeds)} for {len(prompts)}"
            )
        begin = perf_counter()
        self.timings = Timings()
        scale = self.manifest.guidance.scale if guidance is None else guidance
        if not isfinite(scale):
            raise FewstepError(f"expected a finite guidance scale, found {scale}; a usual scale is 1 to 8")
        text = self.encode_text(prompts)
        negative = None if scale == 1.0 else self._negative(negative_prompt, len(prompts))
        model = guide(self.denoise, text, negative, scale, self.guidance_mode)

        def noise(stream: int) -> Array:
            return np.stack([gaussian(self.manifest.latent.shape, seed, stream) for seed in seeds])

        for i, latents in run(self._table(table), noise, model):
            if on_step is not None:
                on_step(i, latents)
        images = self.decode(latents)
        self.timings.total = perf_counter() - begin
        return images

    def encode_text(self, texts: Sequence[str]) -> TextStates:
        """The states (B, L, D) and the mask (B, L) of B texts.

        Raises:
            FewstepError: a text has more tokens than the text encoder takes.
        """
        input_ids, text_mask = self._tokenizer.encode(texts)
        # One text a call: a text then has the same states in every batch, bit for bit.
        states = [
            self._call("text_encoder", {"input_ids": input_ids[k : k + 1], "text_mask": text_mask[k : k + 1]})
            for k in range(len(input_ids))
        ]
        return TextStates(np.concatenate(states), text_mask)

    def denoise(self, latents: Array, timestep: Array, text_states: Array, text_mask: Array) -> Array:
        """One evaluation of the denoiser: velocity (B, C, h, w) of normalised latents at timestep (B,)."""
        feeds = {"latents": latents, "timestep": timestep, "text_states": text_states, "text_mask": text_mask}
        return self._call("denoiser", feeds)

    def decode(self, latents: Array) -> Array:
        """Pictures (B, 4, H, W), premultiplied RGBA, of normalised latents: the decoder sees z = z_n / scale + shift.

        Raises:
            FewstepError: the decoder gave NaN or infinity.
        """
        scale, shift = (
            np.array(values, dtype=np.float32)[:, None, None]
            for values in (self.manifest.latent.scale, self.manifest.latent.shift)
        )
        images = self._call("decoder", {"latents": latents / scale + shift})
        if not np.isfinite(images).all():
            raise FewstepError(
                f"expected finite pixels, found NaN or infinity, from variant '{self.variant.name}'; "
                "try another variant or a smaller guidance scale"
            )
        return images

    def _negative(self, prompt: str | None, count: int) -> TextStates:
        """The negative prompt (the bundle's if None), encoded once and repeated for every picture."""
        text = self.encode_text([self.manifest.guidance.negative_prompt if prompt is None else prompt])
        return TextStates(np.repeat(text.states, count, axis=0), np.repeat(text.mask, count, axis=0))

    def _call(self, component: str, feeds: Tensors) -> Array:
        """The single output of a component; notes how long its graph took."""
        engine = self._engines[component]
        (output,) = engine.run(feeds).values()
        self.timings.calls.setdefault(component, []).append(engine.seconds)
        return output

    def _table(self, table: StepTable | str | None) -> StepTable:
        if isinstance(table, StepTable):
            return table
        tables: Mapping[str, StepTable] = self.manifest.step_tables
        name = self.manifest.default_step_table if table is None else table
        if name not in tables:
            raise FewstepError(
                f"expected one of the step tables {', '.join(tables)}, found '{name}'; choose one"
            )
        return tables[name]


def load_engine(variant: Variant, path: Path, component: Component, threads: int | None = None) -> Engine:
    """The engine that a variant asks for, with one of its graphs loaded.

    Raises:
        BundleError: this fewstep has no such engine, or the graph is broken.
    """
    if variant.engine != "onnxruntime":
        raise BundleError(
            f"expected the engine onnxruntime, found '{variant.engine}', in variant '{variant.name}'"
        )
    from fewstep.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(path, component, threads)

"""Text to picture: tokenizer, text encoder, the loop around the denoiser, decoder."""

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, get_args

import numpy as np

from fewstep.bundle import Bundle
from fewstep.engines import OPENVINO, Engine, LoopEngine, Tensors
from fewstep.errors import BundleError, FewstepError, NonFiniteError
from fewstep.finite import require_finite
from fewstep.guidance import Conditions, GuidanceMode
from fewstep.loop import Array, Noise
from fewstep.loop_form import NETWORKS
from fewstep.network import Network
from fewstep.sizes import Size, size_text
from fewstep.step_table import StepTable
from fewstep.text_to_image import Drawing, OnStep, TextToImage
from fewstep.tokenizer import Tokenizer
from fewstep.variant import Variant

if TYPE_CHECKING:
    from PIL.Image import Image

    from fewstep.engines.coreml import ComputeUnits


@dataclass
class Timings:
    """Seconds of one generation: of every call into a graph, by component, and of the whole.

    `fell_back` says why the FP32 graphs drew it, if they did.
    """

    calls: dict[str, list[float]] = field(default_factory=dict)
    total: float = 0.0
    fell_back: str | None = None

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
        guidance_mode: "batched" evaluates both branches of guidance in one call, "sequential" in two; graphs with guidance inside
            are batched alone.
        units: where Core ML may run its packages: "ALL", "CPU_AND_NE", "CPU_AND_GPU" or "CPU_ONLY".
        cache: folder of this machine where what Core ML and TensorRT-RTX compile is kept; None compiles it at each start.
        on_nonfinite: "fp32" draws again with the FP32 graphs where those of this variant give NaN or infinity; None refuses.
        engine: what runs the graphs: "openvino" takes .onnx graphs; None is the variant's own.

    A pipeline may be used by several threads at once, and by no other process than the one that made it.

    Raises:
        FewstepError: a file of the variant is missing, changed or broken, or a setting is out of range.
    """

    def __init__(
        self,
        bundle: Bundle | Path | str,
        variant: str | None = None,
        threads: int | None = None,
        guidance_mode: GuidanceMode = "batched",
        units: "ComputeUnits" = "ALL",
        cache: Path | None = None,
        on_nonfinite: str | None = None,
        engine: str | None = None,
    ) -> None:
        if guidance_mode not in get_args(GuidanceMode):
            raise FewstepError(
                f"expected guidance mode batched or sequential, found '{guidance_mode}'; choose one"
            )
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        self.manifest = self.bundle.manifest
        self.variant = run_by(self.manifest.variant(variant), engine)
        self.guidance_mode: GuidanceMode = guidance_mode
        self._fallback = _Fallback(self.bundle, self.variant, threads, guidance_mode, on_nonfinite)
        self._here, self._process = threading.local(), os.getpid()
        self._engines = {
            name: load_engine(self.variant, self.bundle.graph(component), name, threads, units, cache)
            for name, component in self.variant.components.items()
        }
        self.model = TextToImage(
            {name: self._network(name) for name in self._engines},
            [Tokenizer.load(self.bundle.file(record.file), record) for record in self.manifest.tokenizers],
            self.manifest.guidance,
            self.manifest.latent,
        )

    def generate(
        self,
        prompt: str,
        seed: int = 0,
        table: StepTable | str | None = None,
        guidance: float | None = None,
        negative_prompt: str | None = None,
        on_step: OnStep | None = None,
        size: Size | None = None,
    ) -> "Image":
        """The picture (8 bits; RGB, or RGBA with straight alpha) of a prompt; the same arguments give the same bits.

        Args:
            prompt: what to draw.
            seed: of the noise, 0 <= seed < 2^64.
            table: a step table or the name of one of the bundle's; None takes the variant's own or the bundle's default.
            guidance: scale w; 1 turns guidance off; None takes the bundle's default.
            negative_prompt: what the unconditional branch reads; None takes the bundle's default.
            on_step: called after every evaluation.
            size: (width, height) in pixels, for a variant of many sizes; None takes the bundle's.

        Raises:
            FewstepError: the prompt is too long, the table is unknown, or the variant does not draw this size.
            NonFiniteError: a graph gave NaN or infinity, and there is nothing to fall back to.
        """
        from fewstep.image import to_pil

        images = self.generate_array([prompt], [seed], table, guidance, negative_prompt, on_step, size)
        return to_pil(images[0])

    def generate_array(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        table: StepTable | str | None = None,
        guidance: float | None = None,
        negative_prompt: str | None = None,
        on_step: OnStep | None = None,
        size: Size | None = None,
    ) -> Array:
        """Pictures (B, 4, H, W) float32, RGBA with premultiplied alpha, or (B, 3, H, W) RGB, of B prompts in one batch.

        See `generate`, and `fewstep.text_to_image.TextToImage.draw`.
        """
        self._require_own_process()
        drawing = Drawing(
            prompts,
            seeds,
            self._table(table),
            guidance,
            negative_prompt,
            self.guidance_mode,
            self._sides(size),
        )
        begin = perf_counter()
        self.timings = Timings()
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused by name
                images = self.model.draw(drawing, on_step or (lambda _i, _latents: None))
        except NonFiniteError as error:
            images, self.timings = self._fallback.draw(drawing, on_step, self._named(error))
        self.timings.total = perf_counter() - begin
        return images

    @property
    def timings(self) -> Timings:
        """The timings of the last generation in this thread."""
        if not hasattr(self._here, "timings"):
            self._here.timings = Timings()
        found: Timings = self._here.timings
        return found

    @timings.setter
    def timings(self, timings: Timings) -> None:
        self._here.timings = timings

    def step_table(self, steps: int | None = None, sampler: str | None = None) -> StepTable:
        """The table of `Bundle.step_table`; without arguments the variant's own, if it holds one.

        Raises:
            FewstepError: as `Bundle.step_table`, or the variant cannot run that table.
        """
        default = steps is None and sampler is None
        return self._table(None if default else self.bundle.step_table(steps, sampler))

    def conditions(self, texts: Sequence[str]) -> Conditions:
        """What the denoiser is told of B texts; see `fewstep.text_to_image.TextToImage.conditions`."""
        self._require_own_process()
        return self.model.conditions(texts)

    def denoise(self, latents: Array, timestep: Array, conditions: Conditions) -> Array:
        """One evaluation of the denoiser: its output (B, C, h, w) for normalised latents at timestep (B,)."""
        return self.model.denoise(latents, timestep, conditions)

    def decode(self, latents: Array) -> Array:
        """Pictures (B, channels, H, W) of normalised latents.

        Raises:
            NonFiniteError: the decoder gave NaN or infinity.
        """
        images = self.model.decode(latents)
        try:
            require_finite({"image": images}, "the decoder")
        except NonFiniteError as error:
            raise self._named(error) from None
        return images

    def _sides(self, size: Size | None) -> tuple[int, int] | None:
        """Height and width of the latents of pictures of that size; None for the bundle's own."""
        own = self.manifest.image.size
        if size in (None, (own, own)):
            return None
        assert size is not None  # of which mypy is not sure
        if self.variant.sizes is None:
            raise FewstepError(
                f"expected {own} x {own} pixels, the one size of variant '{self.variant.name}', found {size_text(size)}; leave the size "
                "out, or export engines for it with --target tensorrt --profile"
            )
        self.variant.sizes.require(size, f"variant '{self.variant.name}'")
        pixels = self.manifest.latent.pixels(self.manifest.image)
        return size[1] // pixels, size[0] // pixels

    def _named(self, error: NonFiniteError) -> NonFiniteError:
        return NonFiniteError(
            f"{error}, variant '{self.variant.name}'; try --on-nonfinite fp32, another variant or a smaller guidance scale"
        )

    def _network(self, name: str) -> Network:
        """A graph as a function that notes how long it took."""
        engine = self._engines[name]

        def run(feeds: Tensors) -> Tensors:
            self._require_own_process()
            outputs = engine.run(feeds)
            self.timings.calls.setdefault(name, []).append(engine.seconds)
            return outputs

        def write(feeds: Tensors, outputs: Tensors) -> None:
            self._require_own_process()
            engine.write(feeds, outputs)
            self.timings.calls.setdefault(name, []).append(engine.seconds)

        if not isinstance(engine, LoopEngine) or name != NETWORKS["fused"]:
            return Network(self.variant.components[name].input_names, run, write)
        whole = engine.loop

        def loop(
            table: StepTable, noise: Noise, conditions: Tensors, scale: float
        ) -> Iterator[tuple[int, Array]]:
            self._require_own_process()
            yield from whole(table, noise, conditions, scale)
            self.timings.calls.setdefault(name, []).append(engine.seconds)

        return Network(self.variant.components[name].input_names, run, write, loop)

    def _require_own_process(self) -> None:
        """Threads of an engine and of the tokenizers do not go with a fork: the first call in the child would wait for them for ever."""
        if os.getpid() != self._process:
            raise FewstepError(
                f"expected the process {self._process}, which loaded the pipeline, found a fork of it, {os.getpid()}; "
                "make the pipeline in each process"
            )

    def _table(self, table: StepTable | str | None) -> StepTable:
        """The table itself, if the variant can run it."""
        if table is None:
            table = self.variant.loop.step_table or self.manifest.default_step_table
        if isinstance(table, str):
            tables = self.manifest.step_tables
            if table not in tables:
                raise FewstepError(
                    f"expected one of the step tables {', '.join(tables)}, found '{table}'; choose one"
                )
            table = tables[table]
        self.bundle.require_fit(self.variant, table)
        return table


class _Fallback:
    """The FP32 graphs of the same bundle, loaded when they are needed first."""

    def __init__(
        self,
        bundle: Bundle,
        variant: Variant,
        threads: int | None,
        mode: GuidanceMode,
        on_nonfinite: str | None,
    ) -> None:
        if on_nonfinite not in (None, "fp32"):
            raise FewstepError(
                f"expected --on-nonfinite fp32, found {on_nonfinite}; leave it out or correct it"
            )
        self._name: str | None = None
        if on_nonfinite and variant.precision != "fp32":
            wanted = ("onnxruntime", "fp32", "host")
            found = [v.name for v in bundle.manifest.variants if (v.engine, v.precision, v.form) == wanted]
            if not found:
                raise FewstepError(
                    f"expected FP32 graphs for --on-nonfinite fp32, found none, in bundle '{bundle.manifest.name}'; export them too"
                )
            self._name = found[0]
        self._bundle, self._threads, self._mode = bundle, threads, mode
        self._lock = threading.Lock()
        self._pipeline: Pipeline | None = None

    def draw(self, drawing: Drawing, on_step: OnStep | None, error: NonFiniteError) -> tuple[Array, Timings]:
        """The pictures and where the time went; `error` again if there is nothing to fall back to, as for another size."""
        if self._name is None or drawing.sides is not None:
            raise error
        with self._lock:
            self._pipeline = self._pipeline or Pipeline(self._bundle, self._name, self._threads, self._mode)
        images = self._pipeline.generate_array(
            drawing.prompts,
            drawing.seeds,
            drawing.table,
            drawing.guidance,
            drawing.negative_prompt,
            on_step,
        )
        return images, replace(self._pipeline.timings, fell_back=str(error))


def run_by(variant: Variant, engine: str | None) -> Variant:
    """The variant as another engine runs the same graphs; None is its own.

    Raises:
        FewstepError: that engine does not take graphs of this format.
    """
    if engine in (None, variant.engine):
        return variant
    if engine != OPENVINO or variant.format != "onnx" or variant.engine != "onnxruntime":
        raise FewstepError(
            f"expected the engine {variant.engine}{f' or {OPENVINO}' if variant.format == 'onnx' else ''}, found '{engine}', for the "
            f"{variant.format} graphs of variant '{variant.name}'; choose one"
        )
    return replace(variant, engine=engine)


def load_engine(
    variant: Variant,
    path: Path,
    name: str,
    threads: int | None = None,
    units: "ComputeUnits" = "ALL",
    cache: Path | None = None,
) -> Engine:
    """The engine that a variant asks for, with the graph of the component of that name loaded; `units` is Core ML's.

    Raises:
        BundleError: this fewstep has no such engine, or the graph is broken.
    """
    component = variant.components[name]
    if variant.engine == "coreml":
        from fewstep.engines.coreml import CoreMLEngine

        return CoreMLEngine(path, component, units, cache=cache)
    if variant.engine == "tensorrt":
        from fewstep.engines.tensorrt import TensorRTEngine

        if variant.format != "engine":
            raise FewstepError(
                f"expected an engine of TensorRT, found the graph that it is built from, in variant '{variant.name}'; build it on "
                f"the machine that runs it with `fewstep-jetson build BUNDLE --variant {variant.name}`"
            )

        return TensorRTEngine(path, component, variant.engines[name], cache=cache)
    if variant.engine == OPENVINO:
        from fewstep.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(path, component, threads)
    if variant.engine != "onnxruntime":
        raise BundleError(
            f"expected the engine onnxruntime, openvino, coreml or tensorrt, found '{variant.engine}', in variant '{variant.name}'"
        )
    from fewstep.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(path, component, threads)

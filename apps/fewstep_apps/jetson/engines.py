"""Engines of a bundle for the board that this runs on."""

from pathlib import Path

from fewstep.bundle import Bundle
from fewstep.engines.cuda import Cuda
from fewstep.errors import FewstepError
from fewstep.progress import progress_bar
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.derive import CACHE, Target, with_engines
from fewstep.tensorrt.library import load_library


def prepare(
    bundle: Path,
    config: BuildConfig,
    cache: Path = CACHE,
    without_gpu: bool = False,
    variant: str | None = None,
) -> Path:
    """The bundle with engines for this board, built with a progress bar on standard error unless it is in the cache.

    Args:
        bundle: with ONNX graphs in FP16; one that has engines alone is taken as it is.
        config: how engines are built.
        cache: where they are kept.
        without_gpu: build although no GPU is here, which TensorRT-RTX can.
        variant: of ONNX graphs to build from; None takes the FP16 one with the most of the loop inside.

    Raises:
        FewstepError: TensorRT or a GPU is missing, or the bundle cannot be built.
    """
    opened = Bundle.open(bundle)
    if all(made.format == "engine" for made in opened.manifest.variants):
        return bundle
    library = load_library()
    target = Target(library, "" if without_gpu else _capability())
    with progress_bar() as progress:
        bar = progress.add_task("building engines", total=None)

        def on_component(name: str, phase: str, done: int, total: int) -> None:
            progress.update(bar, description=f"{name}: {phase}", completed=done, total=total or None)

        return with_engines(opened, target, cache, config, variant, on_component)


def _capability() -> str:
    try:
        return Cuda().compute_capability
    except FewstepError as error:
        raise FewstepError(f"{error}; or build without one by --without-gpu (TensorRT-RTX alone)") from None

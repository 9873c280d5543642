"""`fewstep bench --engine tensorrt`: the engines are built where they are measured, a board behind ssh included."""

from dataclasses import replace
from pathlib import Path

from fewstep.bench.config import BenchConfig
from fewstep.bundle import Bundle
from fewstep.engines.cuda import Cuda
from fewstep.errors import FewstepError
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.derive import CACHE, Target, with_engines
from fewstep.tensorrt.library import load_library


def with_tensorrt(config: BenchConfig, cache: Path = CACHE) -> BenchConfig:
    """The benchmark of the engines that TensorRT builds here out of the bundle's graphs; they are kept for the next one.

    Args:
        config: with the variant of ONNX graphs to build from, or none for the FP16 one with the most of the loop inside.
        cache: where engines are kept.

    Raises:
        FewstepError: TensorRT or a GPU is missing, the bundle has no such graphs, or they cannot be built.
    """
    if len(config.variants) > 1:
        raise FewstepError(
            f"expected at most one variant for the engine tensorrt, found {', '.join(config.variants)}; measure them one by one"
        )
    target = Target(load_library(), Cuda().compute_capability)
    variant = config.variants[0] if config.variants else None
    made = with_engines(Bundle.open(config.bundle), target, cache, BuildConfig(), variant)
    return replace(config, bundle=made, variants=(), engine=None)

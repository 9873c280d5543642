"""An ONNX file as a TensorRT engine."""

import contextlib
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

from fewstep import atomic
from fewstep.errors import FewstepError
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.layers import Layer, layers_of
from fewstep.tensorrt.library import log_of
from fewstep.tensorrt.parse import parse
from fewstep.tensorrt.profiles import add_profiles
from fewstep.tensorrt.progress import OnProgress, monitor
from fewstep.tensorrt.refit import source_of
from fewstep.variant import EngineBuild


@dataclass(frozen=True)
class Built:
    """An engine file's content, how it was made, the layers of the network that it was made from, and which of them are fused attention."""

    content: bytes
    record: EngineBuild
    layers: tuple[Layer, ...]
    attention: frozenset[str] = frozenset()


def build_engine(
    library: Any,
    source: Path,
    config: BuildConfig,
    on_progress: OnProgress = lambda _what, _done, _total: None,
    pixels: int = 1,
) -> Built:
    """Builds the engine; no GPU is needed with TensorRT-RTX.

    Args:
        library: see `fewstep.tensorrt.library`.
        source: the .onnx file.
        config: how.
        on_progress: told of the builder's phases.
        pixels: of the picture for a position of the latents, along a side; for profiles of sizes.

    Raises:
        FewstepError: TensorRT does not take the graph, or cannot build it; the message is its own first one.
    """
    begin, log = perf_counter(), log_of(library)
    builder = library.Builder(log)
    network = parse(library, builder, source, log)
    layers = tuple(layers_of(network))
    options = _options(library, builder, config)
    add_profiles(builder, network, options, config, pixels)
    options.progress_monitor = watching = monitor(library, on_progress)
    cache = _timing_cache(library, options, config.timing_cache)
    plan = builder.build_serialized_network(network, options)
    if plan is None:
        if watching.cancelled:
            raise KeyboardInterrupt
        reason = (log.messages or ["no reason given"])[0]
        raise FewstepError(
            f"expected an engine of {source.name}, found that TensorRT cannot build it: {reason[:300]}"
        )
    if config.timing_cache is not None and cache is not None:
        with contextlib.suppress(OSError):  # a cache that cannot be kept costs time alone
            atomic.write_bytes(config.timing_cache, bytes(cache.serialize()))
    record = EngineBuild(
        library.__name__,
        library.__version__,
        config.compute_capabilities,
        config.max_batch,
        config.flags(),
        sha256(source.read_bytes()).hexdigest(),
        perf_counter() - begin,
    )
    return Built(bytes(plan), record, layers, frozenset(log.attention))


def write_files(built: Built, source: Path, path: Path) -> list[Path]:
    """Writes the engine, and beside one without weights the ONNX file that has them; returns what was written.

    Raises:
        FewstepError: that file has its own weights in another one.
    """
    stripped = "weights-stripped" in built.record.flags
    if stripped and source.with_name(f"{source.name}.data").is_file():
        raise FewstepError(
            f"expected a graph in one file for --strip-weights, found {source.name} with its weights beside it; leave the option out"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(built.content)
    if not stripped:
        return [path]
    shutil.copyfile(source, source_of(path))
    return [path, source_of(path)]


def _options(library: Any, builder: Any, config: BuildConfig) -> Any:
    options = builder.create_builder_config()
    options.profiling_verbosity = (
        library.ProfilingVerbosity.DETAILED
    )  # names and types for the engine inspector
    if config.workspace is not None:
        options.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, config.workspace)
    if config.version_compatible:
        options.set_flag(library.BuilderFlag.VERSION_COMPATIBLE)
    if config.strip_weights:
        options.set_flag(library.BuilderFlag.STRIP_PLAN)  # and with it REFIT_IDENTICAL
    own_memory = getattr(library.BuilderFlag, "REQUIRE_USER_ALLOCATION", None)
    if own_memory is not None:  # of TensorRT-RTX, whose engines a CUDA graph could not hold otherwise
        options.set_flag(own_memory)
    _set_capabilities(library, options, config.compute_capabilities)
    return options


def _set_capabilities(library: Any, options: Any, capabilities: tuple[str, ...]) -> None:
    if not capabilities:
        return
    known = getattr(library, "ComputeCapability", None)
    if known is None:
        raise FewstepError(
            f"expected tensorrt_rtx to build for GPUs that are not here, found {library.__name__}; leave out "
            "--compute-capability, or build on the board"
        )
    options.num_compute_capabilities = len(capabilities)
    for i, capability in enumerate(capabilities):
        name = f"SM{capability.replace('.', '')}"
        if name not in known.__members__:
            names = [f"{m[2:-1]}.{m[-1]}" for m in known.__members__ if m.startswith("SM")]
            raise FewstepError(
                f"expected one of the compute capabilities {', '.join(names)}, found {capability}; TensorRT-RTX "
                f"{library.__version__} builds for no other"
            )
        options.set_compute_capability(known.__members__[name], i)


def _timing_cache(library: Any, options: Any, file: Path | None) -> Any:
    """What kernels were measured to take; TensorRT-RTX measures on the user's machine alone, and has none."""
    if file is None or library.__name__ == "tensorrt_rtx":
        return None
    cache = options.create_timing_cache(file.read_bytes() if file.is_file() else b"")
    if cache is not None:
        options.set_timing_cache(cache, ignore_mismatch=False)
    return cache

"""The kernels that TensorRT-RTX compiles for the GPU when an engine is run, kept from one start to the next."""

import contextlib
from hashlib import sha256
from pathlib import Path
from typing import Any

from fewstep import atomic


class RuntimeCache:
    """What an engine's execution context has compiled.

    Args:
        folder: of this machine; None keeps nothing.
        engine: the content of the engine file: another one has another cache.
    """

    def __init__(self, folder: Path | None, engine: bytes) -> None:
        self._file = None if folder is None else folder / f"{sha256(engine).hexdigest()[:16]}.rtx"
        self._cache: Any = None

    def context(self, library: Any, engine: Any) -> Any:
        """What runs the engine. Kernels for the shapes that come are made at once, so that a recording has them."""
        if library.__name__ != "tensorrt_rtx":
            return engine.create_execution_context()
        config = engine.create_runtime_config()
        strategies = library.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        if self._file is not None:
            self._cache = config.create_runtime_cache()
            with contextlib.suppress(OSError):
                # Of another GPU or release it is refused, and begun anew.
                self._cache.deserialize(self._file.read_bytes())
            config.set_runtime_cache(self._cache)
        return engine.create_execution_context(config)

    def keep(self) -> None:
        """Writes what has been compiled; a cache that cannot be kept costs time alone."""
        if self._file is None or self._cache is None:
            return
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_bytes(self._file, bytes(self._cache.serialize()))

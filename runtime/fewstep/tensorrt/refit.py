"""Weights for an engine that was built without them: they come from the ONNX file that it was made of."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from fewstep.errors import BundleError
from fewstep.variant import EngineBuild


def source_of(engine: Path) -> Path:
    """Where the ONNX file of an engine without weights lies: beside it, as weights do."""
    return engine.with_name(f"{engine.name}.data")


def refit(library: Any, engine: Any, source: Path, build: EngineBuild, log: Any) -> None:
    """Fills a loaded engine. Built for the same weights (`REFIT_IDENTICAL`), it computes nothing with others.

    Args:
        library: see `fewstep.tensorrt.library`.
        engine: as it was loaded.
        source: the ONNX file.
        build: how the engine was made.
        log: of the library.

    Raises:
        BundleError: the file is missing or another one, or the library does not take its weights.
    """
    if not source.is_file() or sha256(source.read_bytes()).hexdigest() != build.source_sha256:
        raise BundleError(
            f"expected the graph of an engine without weights, found {'another' if source.is_file() else 'none'}, in {source}; "
            "export the bundle again"
        )
    refitter = library.Refitter(engine, log)
    parser = library.OnnxParserRefitter(refitter, log)
    if not parser.refit_from_file(str(source)) or not refitter.refit_cuda_engine():
        missing = refitter.get_missing_weights()
        reason = (log.messages or ["no reason given"])[0][:200]
        raise BundleError(
            f"expected all weights of the engine in {source}, found {len(missing)} missing ({reason}); export the bundle again"
        )

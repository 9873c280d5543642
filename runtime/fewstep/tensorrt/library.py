"""The two libraries, which share one interface."""

import re
from importlib import import_module
from typing import Any, Literal, get_args

from fewstep.errors import FewstepError

Name = Literal["tensorrt", "tensorrt_rtx"]
_ATTENTION = re.compile(r"Found (.*) to be part of self-attention pattern\.")
"""What the builder says of the products and the softmax that it puts into one kernel (seen with TensorRT-RTX 1.7.1)."""


def load_library(name: Name | None = None) -> Any:
    """The module of that name, or the first one that can be imported.

    Raises:
        FewstepError: there is none.
    """
    for candidate in (name,) if name else get_args(Name):
        try:
            return import_module(candidate)
        except (
            ImportError,
            OSError,
            RuntimeError,
        ):  # the bindings without their libraries, or these without CUDA
            continue
    raise FewstepError(
        f"expected {name or 'tensorrt or tensorrt_rtx'} for this engine, found none; a Jetson has it from JetPack (apt install "
        "tensorrt, and an environment made with --system-site-packages), elsewhere install fewstep with the extra [tensorrt]"
    )


def log_of(library: Any) -> Any:
    """A logger that prints nothing. It keeps the library's errors in `messages`, and in `attention` the layers that go into fused attention."""

    class Log(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.messages: list[str] = []
            self.attention: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (library.ILogger.Severity.INTERNAL_ERROR, library.ILogger.Severity.ERROR):
                self.messages.append(message)
            elif found := _ATTENTION.fullmatch(message):
                self.attention.append(found[1])

    return Log()

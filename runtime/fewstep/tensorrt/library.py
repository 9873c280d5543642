"""The two libraries, which share one interface."""

from importlib import import_module
from typing import Any, Literal, get_args

from fewstep.errors import FewstepError

Name = Literal["tensorrt", "tensorrt_rtx"]


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
    """A logger that keeps the library's errors in `messages` and prints nothing."""

    class Log(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.messages: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (library.ILogger.Severity.INTERNAL_ERROR, library.ILogger.Severity.ERROR):
                self.messages.append(message)

    return Log()

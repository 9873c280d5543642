"""What the builder is doing, for a person who waits: on a Jetson a build takes minutes."""

from collections.abc import Callable
from typing import Any

OnProgress = Callable[[str, int, int], None]
"""(phase of the builder, steps done, steps in all)"""


def monitor(library: Any, on_progress: OnProgress) -> Any:
    """The library's progress monitor around a function; an interruption (Ctrl-C) in it ends the build, and `cancelled` says so."""

    class Monitor(library.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            library.IProgressMonitor.__init__(self)
            self.cancelled = False
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            self._tell(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return self._tell(phase_name, step + 1)

        def phase_finish(self, phase_name: str) -> None:
            self._tell(phase_name, self._steps.pop(phase_name, 0))

        def _tell(self, phase: str, done: int) -> bool:
            """An exception would have to cross the library's own code, which knows no Python: it is noted instead."""
            try:
                on_progress(phase, done, self._steps.get(phase, done))
            except KeyboardInterrupt:
                self.cancelled = True
            return not self.cancelled

    return Monitor()

"""What the step tables of a bundle are compiled from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fewstep.errors import BundleError, FewstepError
from fewstep.limits import ROWS, TRAIN_TIMESTEPS
from fewstep.samplers import SAMPLERS, compile_table
from fewstep.samplers.diffusers import BUILDERS, Options, from_diffusers
from fewstep.step_table import StepTable


@dataclass(frozen=True)
class Sampling:
    """The default sampler and step count, and what a table for others is compiled from: one of two things.

    Args:
        prediction: what the network predicts: "flow", "epsilon", "v", "sample" or "trigflow".
        sampler: one of `fewstep.samplers.SAMPLERS`, or the class of a diffusers scheduler.
        steps: the default step count.
        shift: of the flow levels, for the samplers of `fewstep.samplers.SAMPLERS`.
        scheduler: the configuration of the checkpoint's own diffusers scheduler; the sampler is then a scheduler class, which
            reads it as `from_config` does.
        tokens: latent patches that the network sees, for schedulers whose shift depends on the size of the picture.
        even_levels: whether levels run evenly from 1 to 1/N before the shift (the checkpoint's pipeline gives them so) or are the
            scheduler's own.
    """

    prediction: str
    sampler: str
    steps: int
    shift: float | None = None
    scheduler: Mapping[str, object] = field(default_factory=dict)
    tokens: int | None = None
    even_levels: bool = False

    def __post_init__(self) -> None:
        if (self.shift is None) != bool(self.scheduler):
            raise BundleError(
                "expected a shift or a scheduler, found both or neither, in field 'shift' and 'scheduler'"
            )
        if (self.shift is not None and self.shift <= 0) or not 1 <= self.steps <= ROWS:
            raise BundleError(
                f"expected a shift above 0 and 1 to {ROWS} steps, found {self.shift} and {self.steps}"
            )
        _check_scheduler(self.scheduler)
        if self.sampler not in self.samplers:
            raise BundleError(
                f"expected one of the samplers {', '.join(self.samplers)}, found '{self.sampler}'"
            )

    @property
    def samplers(self) -> tuple[str, ...]:
        """The samplers that tables can be compiled for."""
        return tuple(BUILDERS if self.scheduler else SAMPLERS)

    def table(self, steps: int | None = None, sampler: str | None = None) -> StepTable:
        """The table of a sampler with so many steps; None takes the default.

        Raises:
            FewstepError: an unknown sampler, steps < 1 or too many, a scheduler that this network cannot be used with, or facts that no
                table follows from.
        """
        steps, sampler = self.steps if steps is None else steps, sampler or self.sampler
        if steps > ROWS:
            raise FewstepError(f"expected at most {ROWS} steps, found {steps}; choose a smaller number")
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused by the table
                return self._compiled(steps, sampler)
        except (ArithmeticError, ValueError, TypeError, LookupError, np.linalg.LinAlgError) as error:
            raise FewstepError(
                f"expected a schedule that a step table can be made of, found one that gives {type(error).__name__} ({error}), "
                f"for {sampler} with {steps} steps; export the bundle again"
            ) from None

    def _compiled(self, steps: int, sampler: str) -> StepTable:
        if self.shift is not None:
            return compile_table(sampler, steps, self.shift)
        table = from_diffusers({**self.scheduler, "_class_name": sampler}, steps, self._options(steps))
        if table.prediction != self.prediction:
            raise FewstepError(
                f"expected a sampler for networks that predict {self.prediction}, found {sampler}, which takes the output "
                f"for {table.prediction}; choose another sampler"
            )
        return table

    def _options(self, steps: int) -> Options:
        levels = tuple(map(float, np.linspace(1, 1 / max(steps, 1), max(steps, 1))))
        return Options(tokens=self.tokens, sigmas=levels if self.even_levels else None)


def _check_scheduler(values: Mapping[str, object]) -> None:
    """Every whole number of a schedule is a count of timesteps, or an order; none may ask for more memory than a real one."""
    for name, value in values.items():
        if isinstance(value, int) and not -TRAIN_TIMESTEPS <= value <= TRAIN_TIMESTEPS:
            raise BundleError(
                f"expected numbers up to {TRAIN_TIMESTEPS}, found {value}, in field 'scheduler.{name}'"
            )
        if isinstance(value, list | tuple) and len(value) > TRAIN_TIMESTEPS:
            raise BundleError(
                f"expected at most {TRAIN_TIMESTEPS} values, found {len(value)}, in field 'scheduler.{name}'"
            )

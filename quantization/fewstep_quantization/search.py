"""Mixed precision: which layers to leave in float under a limit of quality or of time, from points that were measured.

`sensitivity` predicts the error of every choice on the way from all layers in integers to none. Some of these choices are built here and run
on calls that the shipped sampler made, all of them in turn at every call, so that times can be compared; what another one beats in both
error and time is no choice.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
import onnx
from rich.table import Table

from fewstep.errors import FewstepError
from fewstep_quantization.sensitivity import Choice, LayerError, Quantise, pareto
from fewstep_quantization.sessions import network
from fewstep_quantization.trajectory import Trajectory, mean_relative_error, outputs

_ROUNDS = 2
_JUST_BELOW = (0.97, 0.85)


@dataclass(frozen=True)
class Budget:
    """What a choice must keep: an error of the network's output (relative), milliseconds of one evaluation; None asks for nothing."""

    error: float | None = None
    milliseconds: float | None = None

    def __post_init__(self) -> None:
        if self.error is not None and not 0 < self.error < 1:
            raise FewstepError(
                f"expected a largest error between 0 and 1, found {self.error}; a usual one is 0.02"
            )
        if self.milliseconds is not None and not self.milliseconds > 0:
            raise FewstepError(
                f"expected a largest time above 0 ms, found {self.milliseconds}; choose another"
            )


@dataclass(frozen=True)
class Point:
    """A choice as it was measured: the layers in float, the part of the multiplications in integers, errors and time."""

    float_layers: tuple[str, ...]
    integer_share: float
    predicted_error: float
    error: float
    milliseconds: float


def measure_points(
    model: onnx.ModelProto,
    quantise: Quantise,
    errors: Collection[LayerError],
    trajectory: Trajectory,
    count: int = 8,
    near: float | None = None,
    threads: int | None = None,
) -> list[Point]:
    """Builds and runs so many of the choices, evenly apart in predicted error, from all layers in integers to none.

    Args:
        model: the float graph.
        quantise: makes the graph of a choice.
        errors: of the layers, from `layer_errors`.
        trajectory: the calls to run.
        count: at most so many graphs.
        near: an error around which more choices are measured.
        threads: inside one operator.
    """
    choices = _spread(pareto(errors), count, near)
    runs = [network(quantise(choice.layers), threads) for choice in choices]
    output = model.graph.output[0].name
    times: list[list[float]] = [[] for _ in choices]
    found: list[list[np.ndarray]] = [[] for _ in choices]
    for feeds in [*trajectory] * _ROUNDS:
        for k, run in enumerate(runs):
            begin = perf_counter()
            result = run(feeds)[output]
            times[k].append(perf_counter() - begin)
            found[k].append(result)
    expected = outputs(model, trajectory)
    return [
        Point(
            choice.layers,
            choice.integer_share,
            choice.error,
            mean_relative_error(found[k][: len(expected)], expected),
            1000 * median(times[k]),
        )
        for k, choice in enumerate(choices)
    ]


def undominated(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both error and time, the fastest first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.milliseconds, p.error)):
        if not kept or point.error < kept[-1].error:
            kept.append(point)
    return kept


def within(points: Sequence[Point], budget: Budget) -> Point:
    """The fastest point within the limit of error, or, if only time is limited, the best one within that.

    Raises:
        FewstepError: no point keeps the budget; the message says which come nearest.
    """
    kept = [
        p
        for p in points
        if (budget.error is None or p.error <= budget.error)
        and (budget.milliseconds is None or p.milliseconds <= budget.milliseconds)
    ]
    if not kept:
        best, fastest = min(points, key=lambda p: p.error), min(points, key=lambda p: p.milliseconds)
        raise FewstepError(
            f"expected a mixture within error {budget.error} and {budget.milliseconds} ms, found none: the best has error {best.error:.4f} in "
            f"{best.milliseconds:.1f} ms, the fastest {fastest.error:.4f} in {fastest.milliseconds:.1f} ms; choose another limit"
        )
    return min(kept, key=lambda p: p.milliseconds if budget.error is not None else p.error)


def points_table(points: Sequence[Point], chosen: Point | None) -> Table:
    """The list for the terminal; what was chosen is marked."""
    result = Table(title="mixed precision: what no other choice beats")
    for heading in ("layers in float", "integer part", "predicted error", "error", "ms", ""):
        result.add_column(heading)
    for p in points:
        figures = (
            f"{p.integer_share:.0%}",
            f"{p.predicted_error:.4f}",
            f"{p.error:.4f}",
            f"{p.milliseconds:.1f}",
        )
        result.add_row(str(len(p.float_layers)), *figures, "chosen" if p == chosen else "")
    return result


def _spread(choices: Sequence[Choice], count: int, near: float | None) -> list[Choice]:
    """The first and the last choice, and those nearest to even steps of the predicted error between; some just below `near`."""
    errors = np.array([choice.error for choice in choices])
    wanted = [*np.linspace(errors.max(), errors.min(), min(count, len(choices)))]
    wanted += [part * near for part in _JUST_BELOW] if near is not None else []
    return [choices[k] for k in sorted({int(np.abs(errors - e).argmin()) for e in wanted})]

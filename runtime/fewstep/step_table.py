"""The step table: a sampler compiled to one row of scalars per network evaluation.

With a fixed schedule every sampler is linear in (latents, network outputs, noise). A row reads

    m    = network(input_scale s_0, timestep)
    s'_k = sum_j state[k][j] s_j + output[k] m + noise[k] n        for every kept array k

with n fresh unit normal noise. s_0 are the latents; the other kept arrays are *forecasts*: s_k is where the latents
would be k evaluations later (or a few more, if that tells something new) if neither output nor noise came any more.
No other choice of kept arrays needs fewer, see `fewstep.samplers.tape`. Rows are compiled in float64 and run in
float32: `fewstep.loop` runs a table, `fewstep.samplers` compiles one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from fewstep.errors import BundleError, FewstepError
from fewstep.limits import KEPT_ARRAYS, ROWS
from fewstep.records import from_json, to_json

if TYPE_CHECKING:
    from fewstep.loop import Array, Edit, Model
    from fewstep.samplers.diffusers import Options

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class StepRow:
    """The scalars of one network evaluation, for r kept arrays before it and q after it.

    Args:
        timestep: what the network is told.
        input_scale: factor on the latents that the network sees.
        data: (a, b) with which the prediction of the clean latents is a s_0 + b m, for a preview.
        entry: r pairs (u, v); on a picture x0 whose noise is e, array k is u_k x0 + v_k e before this row, so that a run
            may begin here (u_0 and v_0 are the level of the latents, x = u_0 x0 + v_0 e).
        state: q rows of r coefficients on the kept arrays.
        output: q coefficients on the network output.
        noise: q coefficients on fresh unit normal noise, or none if the row draws no noise.
    """

    timestep: float
    input_scale: float
    data: tuple[float, float]
    entry: tuple[tuple[float, float], ...]
    state: Matrix
    output: tuple[float, ...]
    noise: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not all(map(isfinite, _numbers(value))):
                raise FewstepError(f"expected finite numbers, found {value}, in field '{name}'")
        kept, left = len(self.entry), len(self.output)
        if not left or not kept:
            raise FewstepError(
                f"expected at least one value, found none, in field '{'entry' if left else 'output'}'"
            )
        if len(self.state) != left or any(len(line) != kept for line in self.state):
            found = " + ".join(str(len(line)) for line in self.state) or "no"
            raise FewstepError(
                f"expected {left} lines of {kept} coefficients, found {found} coefficients, in field 'state'"
            )
        if self.noise and len(self.noise) != left:
            raise FewstepError(
                f"expected {left} coefficients or none, found {len(self.noise)}, in field 'noise'"
            )


@dataclass(frozen=True)
class StepTable:
    """A compiled sampler: its name, what the network predicts, the scale of the initial noise and the rows."""

    sampler: str
    prediction: str
    initial_scale: float
    rows: tuple[StepRow, ...]

    def __post_init__(self) -> None:
        if not self.rows:
            raise FewstepError("expected at least one row, found none, in field 'rows' of a step table")
        if len(self.rows) > ROWS or self.buffers > KEPT_ARRAYS:
            raise FewstepError(
                f"expected at most {ROWS} rows that keep at most {KEPT_ARRAYS} arrays, found {len(self.rows)} and "
                f"{self.buffers}, in a step table"
            )
        kept = 1
        for i, row in enumerate(self.rows):
            if len(row.entry) != kept:
                raise FewstepError(
                    f"expected {kept} values, as {kept} arrays are kept by then, found {len(row.entry)}, "
                    f"in field 'entry' of row {i} of a step table"
                )
            kept = len(row.output)
        if kept != 1:
            raise FewstepError(
                f"expected one coefficient, as nothing but the latents is left, found {kept}, "
                f"in field 'output' of row {len(self.rows) - 1} of a step table"
            )

    @cached_property
    def buffers(self) -> int:
        """How many latent-sized arrays are kept between two rows, the latents included."""
        return max(len(row.output) for row in self.rows)

    @cached_property
    def stochastic(self) -> bool:
        """Whether a row draws noise."""
        return any(any(row.noise) for row in self.rows)

    @property
    def name(self) -> str:
        """The key of the table in a bundle, like "flow-dpm++2m-20"."""
        return f"{self.sampler}-{len(self.rows)}"

    @classmethod
    def from_dict(cls, value: object, where: str = "step_table") -> "StepTable":
        """The table in a JSON value; BundleError names the row and the field that is wrong."""
        refuse_first_format(value, where)
        return from_json(cls, value, where)

    @classmethod
    def from_diffusers(
        cls, config: Mapping[str, object] | Path | str, steps: int, options: "Options | None" = None
    ) -> "StepTable":
        """The table of a scheduler's configuration; see `fewstep.samplers.diffusers.from_diffusers`."""
        from fewstep.samplers.diffusers import from_diffusers

        return from_diffusers(config, steps, options)

    def to_dict(self) -> Mapping[str, object]:
        """The JSON value of the table; from_dict gives the same table back."""
        value: Mapping[str, object] = to_json(self)
        return value

    def run(self, model: "Model", noise: "Array", seed: int = 0, edit: "Edit | None" = None) -> "Array":
        """The final latents (B, C, h, w) float32 from unit normal noise of that shape.

        Args:
            model: (latents, timestep) -> network output; guidance is inside it.
            noise: the initial noise, float32.
            seed: of the noise that stochastic rows draw: row i takes stream i + 1 of `fewstep.noise`.
            edit: a picture to begin from or to keep in part.
        """
        from fewstep.loop import run
        from fewstep.noise import INITIAL_STREAM, gaussian

        latents = noise
        for _, latents in run(  # noqa: B007 - the last latents are the sample
            self, lambda k: noise if k == INITIAL_STREAM else gaussian(noise.shape, seed, k), model, edit
        ):
            pass
        return latents

    def explain(self) -> str:
        """The table as lines of formulas, one a row and one a forecast, for a person to read."""
        kind = "stochastic" if self.stochastic else "deterministic"
        head = (
            f"{self.name}: {len(self.rows)} evaluations, predicts {self.prediction}, "
            f"keeps {self.buffers} arrays, {kind}"
        )
        return "\n".join([head, *(f"{i:3}  {_formula(row)}" for i, row in enumerate(self.rows))])


def refuse_first_format(table: object, where: str) -> None:
    """Refuses a JSON table of the format before 'state', whose rows had 'convert' and 'latent'.

    Raises:
        BundleError: it is one.
    """
    rows = table.get("rows") if isinstance(table, Mapping) else None
    if isinstance(rows, list) and rows and isinstance(rows[0], Mapping) and "convert" in rows[0]:
        raise BundleError(
            f"expected rows with 'state' and 'output', found rows of the first format with 'convert' and 'latent', "
            f"in {where}; export the bundle again"
        )


def _formula(row: StepRow) -> str:
    scale = "" if row.input_scale == 1.0 else f"  input {row.input_scale:.6f} x"
    lines = []
    for k, (state, output) in enumerate(zip(row.state, row.output, strict=True)):
        terms = [f"{c:+.6f} {_kept(j)}" for j, c in enumerate(state) if c]
        terms += [f"{output:+.6f} m"] if output else []
        terms += [f"{row.noise[k]:+.6f} n"] if row.noise and row.noise[k] else []
        lines.append(f"{_kept(k)}' = {' '.join(terms) or '0'}")
    return f"t={row.timestep:10.5f}{scale}  " + "; ".join(lines)


def _kept(k: int) -> str:
    return f"s{k}" if k else "x"


def _numbers(value: object) -> list[float]:
    if isinstance(value, tuple):
        return [number for item in value for number in _numbers(item)]
    assert isinstance(value, float | int)
    return [value]

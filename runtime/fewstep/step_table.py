"""The step table: a sampler compiled to one row of scalars per network evaluation.

With a fixed schedule every sampler is linear in (latents, network outputs, noise). Row i reads

    m  = network(input_scale x_i, timestep)
    D_i = a x_i + b m                                              (a, b) = convert, the output that is kept
    x_{i+1} = sum_j latent[j] x_{i-j} + sum_j output[j] D_{i-j} + noise n_i

with n_i fresh unit normal noise. Rows are compiled in float64 and run in float32. `fewstep.loop` runs a table,
`fewstep.samplers` compiles one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite

from fewstep.errors import FewstepError
from fewstep.records import from_json, to_json


@dataclass(frozen=True)
class StepRow:
    """The scalars of one network evaluation; `latent` and `output` begin with the newest kept value."""

    timestep: float
    input_scale: float
    convert: tuple[float, float]
    latent: tuple[float, ...]
    output: tuple[float, ...]
    noise: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not all(map(isfinite, value if isinstance(value, tuple) else (value,))):
                raise FewstepError(f"expected finite numbers, found {value}, in field '{name}'")
        if not self.output:
            raise FewstepError("expected at least one coefficient, found none, in field 'output'")


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
        for i, row in enumerate(self.rows):
            for name, coefficients in (("latent", row.latent), ("output", row.output)):
                if len(coefficients) > i + 1:
                    raise FewstepError(
                        f"expected at most {i + 1} coefficients, as only {i + 1} values exist by then, "
                        f"found {len(coefficients)}, in field '{name}' of row {i} of a step table"
                    )

    @property
    def latent_buffers(self) -> int:
        """How many latents the loop keeps, the current one included (at least 1)."""
        return max(1, *(len(row.latent) for row in self.rows))

    @property
    def output_buffers(self) -> int:
        """How many converted outputs the loop keeps, the current one included."""
        return max(1, *(len(row.output) for row in self.rows))

    @property
    def buffers(self) -> int:
        """How many latent-sized arrays a run of the table keeps between two rows."""
        return self.latent_buffers + self.output_buffers - 1

    @property
    def name(self) -> str:
        """The key of the table in a bundle, like "flow-dpm++2m-20"."""
        return f"{self.sampler}-{len(self.rows)}"

    @classmethod
    def from_dict(cls, value: object, where: str = "step_table") -> "StepTable":
        """The table in a JSON value; BundleError names the row and the field that is wrong."""
        return from_json(cls, value, where)

    def to_dict(self) -> Mapping[str, object]:
        """The JSON value of the table; from_dict gives the same table back."""
        value: Mapping[str, object] = to_json(self)
        return value

    def explain(self) -> str:
        """The table as lines of formulas, one a row, for a person to read."""
        head = f"{self.name}: {len(self.rows)} evaluations, predicts {self.prediction}, keeps {self.buffers} arrays"
        return "\n".join([head, *(f"{i:3}  {_formula(row)}" for i, row in enumerate(self.rows))])


def _formula(row: StepRow) -> str:
    a, b = row.convert
    terms = [f"{c:+.6f} x{_index(j)}" for j, c in enumerate(row.latent)]
    terms += [f"{c:+.6f} D{_index(j)}" for j, c in enumerate(row.output)]
    terms += [f"{row.noise:+.6f} n"] if row.noise else []
    scale = "" if row.input_scale == 1.0 else f"  input {row.input_scale:.6f} x"
    return f"t={row.timestep:10.5f}{scale}  D = {a:+.6f} x {b:+.6f} m   x' = {' '.join(terms)}"


def _index(age: int) -> str:
    return f"[-{age}]" if age else ""

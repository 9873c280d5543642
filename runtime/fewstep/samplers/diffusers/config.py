"""A scheduler's configuration, read with the defaults of its class, and what is refused in it."""

from collections.abc import Mapping

import numpy as np

from fewstep.errors import FewstepError
from fewstep.samplers import prediction
from fewstep.samplers.prediction import Prediction
from fewstep.samplers.schedules import beta
from fewstep.samplers.schedules.spacing import Floats, Spacing


class Config:
    """The fields of one scheduler; a field that is missing has the default of its class."""

    def __init__(self, name: str, values: Mapping[str, object]) -> None:
        self.name = name
        self._values = values

    def number(self, key: str, default: float) -> float:
        """A number, finite or -inf (`lambda_min_clipped`, which JSON files hold as a text or not at all)."""
        value = self._values.get(key, default)
        if value == "-inf":
            return -np.inf
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong("a number", value, key)
        return float(value)

    def integer(self, key: str, default: int) -> int:
        """A whole number."""
        value = self._values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong("a whole number", value, key)
        return value

    def text(self, key: str, default: str) -> str:
        """A text."""
        value = self._values.get(key, default)
        if not isinstance(value, str):
            raise self._wrong("a text", value, key)
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false; null counts as false."""
        value = self._values.get(key, default)
        if value is not None and not isinstance(value, bool):
            raise self._wrong("true or false", value, key)
        return bool(value)

    def optional_number(self, key: str) -> float | None:
        """A number or null."""
        return None if self._values.get(key) is None else self.number(key, 0.0)

    def numbers(self, key: str) -> Floats | None:
        """A list of numbers or null."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not all(isinstance(v, int | float) for v in value):
            raise self._wrong("a list of numbers", value, key)
        return np.array(value, dtype=np.float64)

    def refuse(self, key: str, default: object, wanted: object, why: str) -> None:
        """Refuses a setting that no table can hold.

        Raises:
            FewstepError: the field is not what is wanted; the message says why and what to set.
        """
        value = self._values.get(key, default)
        if value != wanted and (value or wanted):
            raise FewstepError(
                f"expected '{key}': {wanted!r}, found {value!r}, in {self.name}, as {why}; set '{key}' to {wanted!r} "
                "if the pictures allow it"
            )

    @property
    def total(self) -> int:
        """The number of training timesteps."""
        return self.integer("num_train_timesteps", 1000)

    @property
    def spacing(self) -> Spacing:
        """The timestep spacing; the default of most schedulers."""
        return self.spacing_or("linspace")

    def spacing_or(self, default: Spacing) -> Spacing:
        """The timestep spacing, with the default of the class."""
        names: dict[str, Spacing] = {"linspace": "linspace", "leading": "leading", "trailing": "trailing"}
        value = self.text("timestep_spacing", default)
        if value not in names:
            raise self._wrong("linspace, leading or trailing", value, "timestep_spacing")
        return names[value]

    def prediction(self, default: str = "epsilon") -> tuple[Prediction, str]:
        """What the network predicts, and its name in a step table."""
        found = self.text("prediction_type", default)
        names = {
            "epsilon": "epsilon",
            "sample": "sample",
            "original_sample": "sample",
            "v_prediction": "v",
            "flow_prediction": "flow",
        }
        if found not in names:
            raise self._wrong(f"one of {', '.join(names)}", found, "prediction_type")
        return prediction.PREDICTIONS[names[found]], names[found]

    def schedule(
        self,
        start: float = 0.0001,
        end: float = 0.02,
        kind: str = "linear",
        tiny: bool = False,
        shift: float = 1.0,
    ) -> beta.DiscreteLevels:
        """The discrete schedule.

        Args:
            start: of the betas where the configuration has none.
            end: of the betas.
            kind: `beta_schedule`.
            tiny: let the abar of a zero-terminal-SNR schedule end at 2^-24 rather than at 0.
            shift: what the signal-to-noise ratio is divided by.
        """
        betas = self.numbers("trained_betas")
        if betas is None:
            betas = self._betas(start, end, self.text("beta_schedule", kind))
        cumulated = beta.shift_snr(np.cumprod(1 - betas, dtype=np.float64), shift)
        if self.flag("rescale_betas_zero_snr"):
            cumulated = beta.rescale_zero_terminal_snr(cumulated)
            if tiny:
                cumulated[-1] = 2.0**-24
        return beta.DiscreteLevels(cumulated)

    def _betas(self, start: float, end: float, kind: str) -> Floats:
        first, last = self.number("beta_start", start), self.number("beta_end", end)
        if kind == "linear":
            return beta.linear_betas(first, last, self.total)
        if kind == "scaled_linear":
            return beta.scaled_linear_betas(first, last, self.total)
        if kind == "squaredcos_cap_v2":
            return beta.cosine_betas(self.total)
        if kind == "sigmoid":
            return beta.sigmoid_betas(first, last, self.total)
        if kind == "exp":
            return beta.betas_of(lambda t: float(np.exp(-12.0 * t)), self.total)
        raise self._wrong("linear, scaled_linear, squaredcos_cap_v2, sigmoid or exp", kind, "beta_schedule")

    def refuse_thresholding(self) -> None:
        """Dynamic thresholding takes a quantile of the latents."""
        self.refuse(
            "thresholding", False, False, "dynamic thresholding is not linear in the network's output"
        )

    def refuse_clipping(self, default: bool) -> None:
        """Clipping cuts the predicted picture at -1 and 1."""
        self.refuse("clip_sample", default, False, "clipping is not linear in the network's output")

    def refuse_learned_variance(self) -> None:
        """A learned variance makes the noise depend on the network."""
        if str(self._values.get("variance_type")).startswith("learned"):
            raise FewstepError(
                f"expected a fixed variance, found 'variance_type': {self._values['variance_type']!r}, in {self.name}, as "
                "learned noise is not linear in the network's output; drop the variance channels of the network and set "
                "'variance_type' to 'fixed_small'"
            )

    def _wrong(self, expected: str, found: object, key: str) -> FewstepError:
        return FewstepError(f"expected {expected}, found {found!r}, in field '{key}' of {self.name}")

"""What a quantisation is asked for."""

from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Literal, get_args

from fewstep.errors import FewstepError
from fewstep_quantization.calibration.observers import Observer
from fewstep_quantization.search import Budget

_COARSEST = 0.3
Scheme = Literal["int8", "int8-dynamic", "w8", "w4", "fp16"]


@dataclass(frozen=True)
class Limits:
    """What a build must reach to be shipped; None asks for nothing.

    Args:
        speedup: time of the reference over time of the build, whole pictures.
        psnr: dB against the reference on the same noise, mean over the pictures compared; the lower end of its interval counts.
        size: bytes of the graphs over those of the reference.
        frechet: by what part the Frechet distance may be larger, where it is judged.
        text_image: by what part the text-image score may be smaller, where it is judged.
    """

    speedup: float | None = 1.0
    psnr: float | None = None
    size: float | None = None
    frechet: float | None = None
    text_image: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not (isfinite(value) and value > 0):
                raise FewstepError(f"expected a limit above 0, found {value}, for {name}; choose another")


@dataclass(frozen=True)
class QuantizeConfig:
    """A quantisation of one variant of a bundle.

    Args:
        bundle: its folder.
        scheme: "int8" (static), "int8-dynamic", "w8" or "w4" (weights only), "fp16" with FP32 where it would overflow.
        variant: the FP32 variant to begin from.
        name: of the new variant; None takes the scheme's name.
        prompts: file with a calibration prompt a line; None takes the bundle's examples.
        pictures: how many prompts are drawn for calibration, spread evenly over those there are.
        steps, sampler: the loop that is calibrated and measured; None takes the bundle's default.
        observer: how ranges are chosen.
        migration: SmoothQuant's exponent; 0 leaves the activations as they are.
        noise: layers whose input 8 bits round by more than this part of its size get it in two planes of 8 bits.
        weight_noise: weights of int8 are rounded to steps no finer than errs by this part of their size (root mean square): a
            smaller download, as coarser numbers compress better. 0 uses all levels of 8 bits, which err by 0.007 to 0.012 in the zoo.
        exclude: layers that stay float, by name.
        budget: for the denoiser; layers that cost much stay float so that it is kept. An empty one searches for nothing.
        limits: what the build must reach.
        force: writes a build that does not reach them, and marks it.
        threads: threads inside one operator while measuring.
        rounds: timed rounds.
        judged: pictures drawn for Frechet distance and text-image score; 0 asks no judge.
    """

    bundle: Path
    scheme: Scheme
    variant: str = "fp32"
    name: str | None = None
    prompts: Path | None = None
    pictures: int = 32
    steps: int | None = None
    sampler: str | None = None
    observer: Observer = "min-max"
    migration: float = 0.0
    noise: float = 0.03
    weight_noise: float = 0.0
    exclude: tuple[str, ...] = ()
    budget: Budget = field(default_factory=Budget)
    limits: Limits = Limits()
    force: bool = False
    threads: int | None = None
    rounds: int = 7
    judged: int = 0

    def __post_init__(self) -> None:
        _one_of("scheme", self.scheme, get_args(Scheme))
        _one_of("observer", self.observer, get_args(Observer))
        for what, found in (("picture", self.pictures), ("round", self.rounds), ("step", self.steps or 1)):
            if found < 1:
                raise FewstepError(f"expected at least 1 {what}, found {found}; choose a larger number")
        if self.judged < 0 or self.judged == 1:
            raise FewstepError(f"expected 0 pictures to judge or at least 2, found {self.judged}; choose 200")
        if not self.judged and (self.limits.frechet or self.limits.text_image):
            raise FewstepError(
                "expected pictures to judge for a limit of Frechet distance or text-image score, found none; give --judge 200"
            )
        if not self.noise > 0:
            raise FewstepError(f"expected a rounding noise above 0, found {self.noise}; a usual one is 0.03")
        if not 0 <= self.weight_noise <= _COARSEST or (self.weight_noise and self.scheme != "int8"):
            raise FewstepError(
                f"expected a weight noise of 0 to {_COARSEST} with the scheme int8, found {self.weight_noise} with {self.scheme}; "
                "a usual one is 0.03"
            )
        if not 0 <= self.migration <= 1:
            raise FewstepError(
                f"expected a migration strength of 0 to 1, found {self.migration}; a usual one is 0.5"
            )
        if self.output == self.variant:
            raise FewstepError(
                f"expected a new name, found '{self.output}', which is the variant to begin from; choose another --name"
            )

    @property
    def compared(self) -> int:
        """Pictures that are compared with those of `variant`: as many as calibrate where a limit hangs on their mean."""
        return 6 if self.limits.psnr is None else self.pictures

    @property
    def output(self) -> str:
        """The name of the new variant."""
        return self.name or self.scheme


def _one_of(what: str, found: str, allowed: tuple[str, ...]) -> None:
    if found not in allowed:
        raise FewstepError(f"expected the {what} {' or '.join(allowed)}, found '{found}'; choose one")

"""What a build of lower precision was measured to be worth before it went into its bundle."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fewstep.errors import BundleError


@dataclass(frozen=True)
class Judgement:
    """A figure of quality over whole sets of pictures.

    Args:
        reference: of the reference's pictures.
        build: of the build's.
        change: (build - reference) / |reference|.
        interval: 95 % bootstrap interval of the change.
    """

    reference: float
    build: float
    change: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Gate:
    """A build against the variant that it was made from, on one machine, whole pictures on the same noise.

    Args:
        scheme: how it was made, like "int8".
        speedup: time of the reference over time of the build, medians of interleaved rounds.
        speedup_interval: 95 % bootstrap interval of it.
        size: bytes of the graphs over those of the reference.
        psnr: dB of the worst picture.
        psnr_mean: dB, mean over the pictures.
        latent_error: Euclidean distance of the last latents over their norm.
        pictures: how many were compared.
        threads: inside one operator.
        device: processor.
        passed: whether it reached the limits it was asked for; if not, it was forced.
        psnr_interval: 95 % bootstrap interval of `psnr_mean`.
        judged: figures by name, like "frechet" and "text_image", where a judge was installed and asked.
        judged_pictures: of how many pictures they are.
    """

    scheme: str
    speedup: float
    speedup_interval: tuple[float, float]
    size: float
    psnr: float
    psnr_mean: float
    latent_error: float
    pictures: int
    threads: int
    device: str
    passed: bool
    psnr_interval: tuple[float, float] | None = None
    judged: Mapping[str, Judgement] = field(default_factory=dict)
    judged_pictures: int = 0

    def __post_init__(self) -> None:
        if self.speedup <= 0 or self.size <= 0 or self.pictures < 1:
            raise BundleError(
                f"expected a speed-up and a size above 0 over at least 1 picture, found {self.speedup}, {self.size} and {self.pictures}"
            )

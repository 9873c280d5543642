"""What every recipe has: the budget and the rates of a run, and the examples that are made of the pictures."""

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class RunConfig:
    """What every method shares.

    The learning rate warms up over ``warmup_steps`` and then falls to zero on a cosine over the budget: ``steps`` updates or
    ``seconds`` of training, whichever is used up first. ``batch_size`` counts pictures over all processes. Methods that draw leave a
    sheet of pictures every ``sample_every_seconds``, which is part of the budget.
    """

    data: str
    output: str
    steps: int
    seconds: float = float("inf")
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.99
    gradient_clip: float = 1.0
    ema_decay: float = 0.999
    seed: int = 0
    precision: str = "no"
    compile: bool = False
    log_every: int = 50
    save_every_seconds: float = 120.0
    sample_every_seconds: float = float("inf")

    def __post_init__(self) -> None:
        """Refuse budgets that train nothing and precisions that accelerate does not know."""
        if self.steps < 1 or self.batch_size < 1 or self.seconds <= 0:
            raise ValueError(
                f"steps, batch_size and seconds must be positive, found {self.steps}, {self.batch_size}, {self.seconds}"
            )
        if self.precision not in ("no", "bf16", "fp16"):
            raise ValueError(f"precision must be no, bf16 or fp16, found {self.precision!r}")


@dataclass(frozen=True)
class BankConfig:
    """Which examples are made of the pictures, see ``banks.py``.

    ``augmented_weight`` is the weight of all jittered copies of a picture together, and of all recoloured ones, beside the picture's
    own weight, which ``group_weights`` gives by the group of its name (1 where it has none). ``cache`` is a folder in which encoded banks
    are kept for the next run; none is kept where it is empty.
    """

    captions_per_picture: int = 8
    augmented_copies: int = 2
    recoloured_copies: int = 1
    augmented_weight: float = 0.3
    cache: str = ""
    group_weights: dict[str, float] = field(default_factory=dict)


def autocast(config: RunConfig, device: torch.device) -> torch.autocast:
    """bfloat16 as a run has it, for networks that the trainer does not wrap."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")

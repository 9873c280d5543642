"""A training run as a value: frozen dataclasses read from a TOML file."""

import dataclasses
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fewstep.errors import FewstepError
from fewstep_distillation import objectives
from fewstep_distillation.run_config import BankConfig, RunConfig
from fewstep_distillation.student import StudentConfig
from fewstep_distillation.timesteps import TimestepConfig
from fewstep_models import backbones
from fewstep_models.autoencoder import AutoencoderConfig
from fewstep_models.backbones import BackboneConfig
from fewstep_models.sana import SanaConfig

T = TypeVar("T")


@dataclass(frozen=True)
class AutoencoderRecipe:
    """Train an autoencoder: ``L1 + perceptual_weight * perceptual + latent_weight / 2 * mean(z^2)``.

    ``latent_noise`` is the standard deviation of the noise added to the latents before decoding (a posterior of fixed variance, whose
    KL term is the ``z^2`` penalty).
    """

    run: RunConfig
    model: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    perceptual_weight: float = 0.3
    latent_weight: float = 1e-3
    latent_noise: float = 0.1


@dataclass(frozen=True)
class FlowMatchingRecipe:
    """Train a rectified-flow teacher on the latents of a trained autoencoder, with text dropped for classifier-free guidance.

    ``model`` is any backbone; in a file ``type`` names it ("dit", "unet", ...), Sana unless given.
    """

    run: RunConfig
    autoencoder: str
    model: BackboneConfig = field(default_factory=SanaConfig)
    timesteps: TimestepConfig = field(default_factory=TimestepConfig)
    name: str = "emoji-128"
    caption_dropout: float = 0.1
    bank: BankConfig = field(default_factory=BankConfig)


@dataclass(frozen=True)
class DecoderRecipe:
    """Teach a small decoder the pictures of a checkpoint's decoder: ``L1 + perceptual_weight * perceptual``, see ``methods/decoder.py``.

    ``widths`` and ``blocks`` are its stages, from the picture's resolution down. The result is ``teacher`` with the small decoder.
    """

    run: RunConfig
    teacher: str
    name: str
    widths: tuple[int, ...] = (16, 32, 64, 64)
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    perceptual_weight: float = 0.3
    latent_noise: float = 0.1

    def __post_init__(self) -> None:
        """Accept lists (TOML)."""
        for name in ("widths", "blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class DistillationRecipe(StudentConfig):
    """Make a few-step student of a teacher; in a file ``type`` in the table ``[objective]`` names the method."""

    objective: objectives.Objective


Recipe = AutoencoderRecipe | FlowMatchingRecipe | DecoderRecipe | DistillationRecipe


def read_recipe(path: Path, overrides: dict[str, str] | None = None) -> Recipe:
    """The recipe in a TOML file; ``overrides`` sets dotted keys ("run.steps") to TOML values.

    Raises:
        FewstepError: the file is missing, not TOML, or has a wrong or unknown field.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        for key, value in (overrides or {}).items():
            _assign(data, key.split("."), value)
        method = data.pop("method")
        if method == "autoencoder":
            return _build(AutoencoderRecipe, data)
        if method == "flow-matching":
            return _build(FlowMatchingRecipe, data)
        if method == "decoder":
            return _build(DecoderRecipe, data)
        if method == "distillation":
            return _build(DistillationRecipe, data)
        raise ValueError(
            f"method must be 'autoencoder', 'flow-matching', 'decoder' or 'distillation', found {method!r}"
        )
    except OSError as error:
        raise FewstepError(
            f"expected a recipe at {path}, but cannot read it ({error.strerror}); see distillation/recipes"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise FewstepError(
            f"cannot use the recipe {path}: {type(error).__name__}: {error}; compare it with those in distillation/recipes"
        ) from error


def parse_settings(settings: list[str]) -> dict[str, str]:
    """``["run.steps=10"]`` -> ``{"run.steps": "10"}``.

    Raises:
        FewstepError: a setting has no "=".
    """
    pairs = [setting.partition("=") for setting in settings]
    if bad := [key for key, separator, _ in pairs if not separator]:
        raise FewstepError(
            f"expected KEY=VALUE after --set, found {bad[0]!r}; for example --set run.steps=100"
        )
    return {key: value for key, _, value in pairs}


def _assign(data: dict[str, Any], keys: list[str], value: str) -> None:
    *parents, last = keys
    for key in parents:
        data = data.setdefault(key, {})
    try:
        data[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        data[last] = value  # a bare word is a string


def _build(kind: type[T], data: dict[str, Any]) -> T:
    """A dataclass from nested dicts; nested dataclasses are recognised by the type of their field."""
    nested: dict[str, Callable[[dict[str, Any]], object]] = {
        "run": lambda fields: RunConfig(**fields),
        "timesteps": lambda fields: TimestepConfig(**fields),
        "bank": lambda fields: BankConfig(**fields),
        "model": backbones.from_json,
        "objective": objectives.from_json,
    }
    if kind is AutoencoderRecipe:
        nested["model"] = lambda fields: AutoencoderConfig(**fields)
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(data) - known):
        raise ValueError(f"unknown field {', '.join(unknown)}")
    return kind(**{key: nested[key](value) if key in nested else value for key, value in data.items()})

"""The denoisers that a recipe and a checkpoint can name: one configuration class each, all with one interface.

``config.build()`` gives a network ``(latents (B, C, h, w), timestep (B,) in 0..1000, text_states (B, L, D), text_mask (B, L))`` ->
velocity (B, C, h, w), all float32, whose attribute ``config`` is the configuration.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args

from fewstep_models.diffussm import DiffuSSMConfig
from fewstep_models.dit import DiTConfig
from fewstep_models.mamba2 import Mamba2Config
from fewstep_models.mmdit import MMDiTConfig
from fewstep_models.sana import SanaConfig
from fewstep_models.udit import UDiTConfig
from fewstep_models.unet import UNetConfig

BackboneConfig = (
    SanaConfig | DiTConfig | MMDiTConfig | UNetConfig | UDiTConfig | DiffuSSMConfig | Mamba2Config
)
_BY_TYPE: Mapping[str, type[BackboneConfig]] = {config.type: config for config in get_args(BackboneConfig)}


def to_json(config: BackboneConfig) -> dict[str, Any]:
    """The fields of a configuration, its ``type`` among them, as in ``model.json`` and in a recipe."""
    return asdict(config)


def from_json(data: Mapping[str, Any]) -> BackboneConfig:
    """The inverse of :func:`to_json`; without a ``type`` it is Sana.

    Raises:
        ValueError: the type is unknown or a value is impossible.
        TypeError: a field is unknown.
    """
    fields = dict(data)
    kind = fields.pop("type", SanaConfig.type)
    if kind not in _BY_TYPE:
        raise ValueError(f"expected one of the backbones {', '.join(_BY_TYPE)}, found {kind!r}")
    return _BY_TYPE[kind](**{name: _frozen(value) for name, value in fields.items()})


def _frozen(value: Any) -> Any:
    """Lists of JSON and TOML as the tuples that a frozen configuration holds."""
    return tuple(_frozen(entry) for entry in value) if isinstance(value, list) else value

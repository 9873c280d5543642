"""The methods of distillation that a recipe can name: one configuration class each, whose ``build(config)`` gives the method."""

from collections.abc import Mapping
from typing import Any, get_args

from fewstep_distillation.methods.adversarial import Adversarial
from fewstep_distillation.methods.cfg_aware import CFGAware
from fewstep_distillation.methods.consistency import Consistency
from fewstep_distillation.methods.distribution_matching import DistributionMatching
from fewstep_distillation.methods.features import Features
from fewstep_distillation.methods.one_step import OneStep
from fewstep_distillation.methods.progressive import Progressive
from fewstep_distillation.methods.quantisation_aware import QuantisationAware
from fewstep_distillation.methods.reflow import Reflow
from fewstep_distillation.methods.scm import ContinuousConsistency
from fewstep_distillation.methods.sprint import Sprint
from fewstep_distillation.timesteps import TimestepConfig
from fewstep_models import backbones

Objective = (
    Progressive
    | CFGAware
    | OneStep
    | Reflow
    | Consistency
    | ContinuousConsistency
    | Adversarial
    | Sprint
    | DistributionMatching
    | Features
    | QuantisationAware
)
_BY_TYPE: Mapping[str, type[Objective]] = {
    objective.__dataclass_fields__["type"].default: objective for objective in get_args(Objective)
}
_LEVELS = ("levels", "renoise", "score_levels")


def from_json(data: Mapping[str, Any]) -> Objective:
    """The objective in a table ``[objective]``; lists become tuples, tables of noise levels a ``TimestepConfig``, ``model`` a backbone.

    Raises:
        ValueError: the type is missing or unknown, or a value is impossible.
        TypeError: a field is unknown.
    """
    fields = dict(data)
    kind = fields.pop("type", None)
    if kind not in _BY_TYPE:
        raise ValueError(f"expected one of the objectives {', '.join(_BY_TYPE)}, found {kind!r}")
    return _BY_TYPE[kind](**{name: _value(name, value) for name, value in fields.items()})


def _value(name: str, value: Any) -> Any:
    if name in _LEVELS:
        return TimestepConfig(**value)
    if name == "model":
        return backbones.from_json(value)
    return tuple(value) if isinstance(value, list) else value

"""What is measured side by side: variants, each by its own engine or by every one that this machine has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

from fewstep.bench.config import ALL_ENGINES
from fewstep.engines import OPENVINO
from fewstep.errors import FewstepError
from fewstep.pipeline import run_by
from fewstep.variant import Variant


@dataclass(frozen=True)
class Contender:
    """A variant as one engine runs it.

    Args:
        variant: under the name that the report has for it: its own, or "fp32@openvino" for an engine that is not its own.
        original: its name in the bundle.
        optional: whether it is one of all there are, so that the others are measured where it cannot run.
    """

    variant: Variant
    original: str
    optional: bool = False

    @property
    def name(self) -> str:
        """What the report calls it."""
        return self.variant.name


def contenders(variants: Sequence[Variant], engine: str | None) -> Iterator[Contender]:
    """The variants by their own engines, by the one named, or by all.

    Raises:
        FewstepError: the engine does not take the graphs of a variant.
    """
    for variant in variants:
        if engine in (None, ALL_ENGINES):
            yield Contender(variant, variant.name)
        if engine == ALL_ENGINES and (variant.engine, variant.format) == ("onnxruntime", "onnx"):
            yield _by(variant, OPENVINO, optional=True)
        elif engine not in (None, ALL_ENGINES):
            yield _by(variant, engine, optional=False)


def require_engine(contender: Contender) -> None:
    """Whether the engine's library is there, before a process is started for it.

    Raises:
        FewstepError: it is not.
    """
    if contender.variant.engine == OPENVINO and find_spec(OPENVINO) is None:
        raise FewstepError(
            "expected openvino for the engine openvino, found none; install fewstep with the extra [openvino]"
        )


def _by(variant: Variant, engine: str | None, optional: bool) -> Contender:
    other = run_by(variant, engine)
    name = variant.name if other.engine == variant.engine else f"{variant.name}@{engine}"
    return Contender(replace(other, name=name), variant.name, optional)

"""What a build begins from and what it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.loop_form import TEXT_ENCODER
from fewstep.step_table import StepTable
from fewstep.variant import Variant
from fewstep_quantization.calibration.collect import Calibration
from fewstep_quantization.calibration.texts import broad_texts
from fewstep_quantization.config import QuantizeConfig
from fewstep_quantization.graph import load
from fewstep_quantization.pictures import Graphs, Source
from fewstep_quantization.search import Point

OnProgress = Callable[[str, int, int], None]
"""(what is done, done, of all)"""


@dataclass(frozen=True)
class Build:
    """The new graphs by component, and by component the layers that stay float with the reason.

    After a search also the mixtures that no other beats, and the one that was chosen. `wide` are the denoiser's layers in two planes.
    """

    graphs: Graphs
    float_layers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    chosen: Point | None = None
    wide: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Inputs:
    """What every scheme begins from."""

    bundle: Bundle
    variant: Variant
    graphs: Graphs
    calibration: Calibration

    @classmethod
    def load(cls, config: QuantizeConfig, table: StepTable) -> "Inputs":
        """Reads the graphs and the calibration prompts.

        Raises:
            FewstepError: the variant is not one of FP32 ONNX graphs whose loop the host runs, or there are no prompts.
        """
        bundle = Bundle.open(config.bundle)
        variant = bundle.manifest.variant(config.variant)
        if (variant.precision, variant.format, variant.loop.form) != ("fp32", "onnx", "host"):
            raise FewstepError(
                f"expected a variant of FP32 ONNX graphs with the loop on the host, found {variant.precision} {variant.format}, "
                f"{variant.form}, in variant '{variant.name}'; choose another --variant"
            )
        graphs = {name: load(bundle.file(c.file)) for name, c in variant.components.items()}
        tokenizers = Source(bundle).tokenizers() if TEXT_ENCODER in graphs else []
        texts = broad_texts(tokenizers, bundle.manifest.prompts.styles)
        return cls(bundle, variant, graphs, Calibration(_prompts(config, bundle), table, texts=texts))

    def held_out(self, count: int) -> Sequence[str]:
        """Prompts that calibration has not seen, evenly apart; where it has seen all, some of these."""
        seen = self.calibration.prompts
        lines = [p for p in self.bundle.manifest.prompts.in_styles() if p not in set(seen)] or list(seen)
        return _apart(lines, count)


def _prompts(config: QuantizeConfig, bundle: Bundle) -> tuple[str, ...]:
    """The calibration prompts, evenly apart in the file or in the bundle's examples."""
    if config.prompts is None:
        lines = list(bundle.manifest.prompts.in_styles())
    else:
        try:
            lines = config.prompts.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise FewstepError(
                f"expected a text file of prompts, found none that can be read ({type(error).__name__}), at {config.prompts}; check the path"
            ) from None
    return tuple(_apart(lines, config.pictures))


def _apart(lines: Sequence[str], count: int) -> Sequence[str]:
    """So many of the lines, evenly apart, or all."""
    return lines[:: max(1, len(lines) // count)][:count]

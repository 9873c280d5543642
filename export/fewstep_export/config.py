"""What an export is asked to do; nothing heavy is imported here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Literal, get_args

from fewstep.errors import FewstepError
from fewstep.samplers import SAMPLERS
from fewstep.samplers.diffusers import BUILDERS
from fewstep.tensorrt.config import BuildConfig
from fewstep_export.large.config import Large
from fewstep_export.loop_forms.config import LoopForms
from fewstep_export.package_config import ConvertConfig

Target = Literal["ort", "coreml", "tensorrt"]
Precision = Literal["fp32", "fp16", "int8", "fp8", "w8", "w4", "palette6", "palette4", "palette-mixed"]
FLOATS: tuple[Precision, ...] = ("fp32", "fp16")
"""What ONNX Runtime and Core ML have; int8 is of TensorRT and Core ML, fp8 of TensorRT, the others are weights of Core ML packages in so
many bits."""

FP8_CAPABILITY = 8.9
"""Of the first GPUs with products of eight-bit floats (Ada)."""


@dataclass(frozen=True)
class Lora:
    """A LoRA file and the factor on what it adds."""

    path: Path
    scale: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "Lora":
        """FILE or FILE:SCALE.

        Raises:
            FewstepError: the scale is no number.
        """
        path, colon, scale = text.rpartition(":")
        if not colon or "/" in scale or scale.endswith(".safetensors"):
            return cls(Path(text))
        try:
            return cls(Path(path), float(scale))
        except ValueError:
            raise FewstepError(
                f"expected --lora FILE or FILE:SCALE, found '{text}'; write the scale as a number"
            ) from None


OnProgress = Callable[[str, int, int], None]
"""(what begins now, stages done, stages in all)"""
OnSay = Callable[[str], None]
"""(a line for the person who waits)"""


@dataclass(frozen=True)
class ExportConfig:
    """Options of :func:`fewstep_export.export`.

    Attributes:
        source: zoo name, or folder of a checkpoint of fewstep or of a diffusers pipeline.
        output: bundle folder to write.
        targets: engines to build for.
        precisions: builds of the graphs; "fp32" also gives the .ort build, "int8" is of TensorRT and Core ML, "fp8" of TensorRT, the
            others but "fp32" and "fp16" are of Core ML alone.
        packages: how packages for Core ML are made.
        steps: rows of the step tables; None takes the checkpoint's.
        sampler: default sampler; None takes the checkpoint's.
        guidance: scale of classifier-free guidance; None takes the checkpoint's.
        configurations: folder with the configurations of a pipeline, for weights in a single file.
        loras: files that are fused into a diffusers pipeline.
        vocabulary: how many of the most frequent pieces of words a text encoder keeps beside those that its model was taught, for
            checkpoints of fewstep; None keeps all.
        compare: draw with the checkpoint's own program too, and refuse a bundle whose pictures differ.
        size: side of the pictures in pixels, for diffusers pipelines; None takes the checkpoint's.
        loop: further variants with more of the loop inside their graphs.
        large: when a diffusers folder is exported one component at a time.
        engines: how engines of TensorRT are built.
    """

    source: str
    output: Path
    targets: tuple[Target, ...] = ("ort",)
    precisions: tuple[Precision, ...] = ("fp32", "fp16")
    packages: ConvertConfig = field(default_factory=ConvertConfig, kw_only=True)
    steps: int | None = None
    sampler: str | None = None
    guidance: float | None = None
    size: int | None = None
    compare: bool = False
    configurations: Path | None = None
    loras: tuple[Lora, ...] = ()
    loop: LoopForms = field(default_factory=LoopForms)
    large: Large = field(default_factory=Large)
    engines: BuildConfig = field(default_factory=BuildConfig, kw_only=True)
    vocabulary: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what no bundle can have."""
        _known("target", self.targets, get_args(Target))
        _known("precision", self.precisions, get_args(Precision))
        self._check_compressed()
        if self.sampler is not None:
            _known("sampler", (self.sampler,), (*SAMPLERS, *BUILDERS))
        if self.steps is not None and self.steps < 1:
            raise FewstepError(f"expected at least 1 step, found {self.steps}; choose a larger --steps")
        if self.vocabulary is not None and self.vocabulary < 0:
            raise FewstepError(
                f"expected 0 or more pieces of words, found {self.vocabulary}; a usual --vocabulary is 10000"
            )
        if self.guidance is not None and not isfinite(self.guidance):
            raise FewstepError(
                f"expected a finite guidance scale, found {self.guidance}; a usual scale is 1 to 8"
            )

    def _check_compressed(self) -> None:
        if "int8" in self.precisions and not {"tensorrt", "coreml"} & set(self.targets):
            raise FewstepError(
                f"expected --target tensorrt or coreml for int8, found {', '.join(self.targets)}; add the target, or make an int8 "
                "build for ONNX Runtime of the bundle with `fewstep quantize`"
            )
        self._check_fp8()
        self._check_profiles()
        if "tensorrt" in self.targets and not {"fp16", "int8", "fp8"} & set(self.precisions):
            raise FewstepError(
                f"expected fp16, int8 or fp8 for the target tensorrt, found {', '.join(self.precisions)}; add a --precision"
            )
        compressed = [precision for precision in self.precisions if precision not in (*FLOATS, "int8", "fp8")]
        if compressed and "coreml" not in self.targets:
            raise FewstepError(
                f"expected --target coreml for {', '.join(compressed)}, found {', '.join(self.targets)}; add the target"
            )
        if "w4" in compressed and self.packages.target != "iOS18":
            raise FewstepError(
                f"expected --min-target iOS18 for w4, whose scales of blocks it brought, found {self.packages.target}"
            )
        if self.loop and "ort" not in self.targets:
            raise FewstepError(
                "expected --target ort for other forms of the loop, found none; add the target"
            )
        if "ort" in self.targets and not set(self.precisions) & set(FLOATS):
            raise FewstepError("expected fp32 or fp16 for the target ort, found neither; add a --precision")

    def _check_profiles(self) -> None:
        if self.engines.profiles and "tensorrt" not in self.targets:
            raise FewstepError(
                f"expected --target tensorrt for --profile, found {', '.join(self.targets)}; graphs of the others have one size each, "
                "that of --size"
            )
        if self.engines.profiles and self.loop:
            raise FewstepError(
                "expected no other form of the loop with --profile, found one, whose graphs have one size; leave out --hoist, --fuse-step "
                "and --unroll"
            )

    def _check_fp8(self) -> None:
        if "fp8" not in self.precisions:
            return
        if "tensorrt" not in self.targets or "coreml" in self.targets:
            raise FewstepError(
                f"expected --target tensorrt, and not coreml, for fp8, found {', '.join(self.targets)}; correct the targets"
            )
        old = [c for c in self.engines.compute_capabilities if float(c) < FP8_CAPABILITY]
        if old:
            raise FewstepError(
                f"expected GPUs of compute capability {FP8_CAPABILITY} or newer for fp8, found {', '.join(old)}; "
                "correct --compute-capability, or take int8"
            )

    @property
    def source_name(self) -> str:
        """The zoo name, or the name of the folder without the path of this machine."""
        return Path(self.source).resolve().name

    def options(self) -> Mapping[str, object]:
        """The options as JSON, without anything that belongs to one machine."""
        return {
            "source": self.source_name,
            "targets": list(self.targets),
            "precisions": list(self.precisions),
            **(self.packages.options() if "coreml" in self.targets else {}),
            "steps": self.steps,
            "sampler": self.sampler,
            "guidance": self.guidance,
            "size": self.size,
            "vocabulary": self.vocabulary,
            "compare": self.compare,
            "config": self.configurations.resolve().name if self.configurations else None,
            "loras": [f"{lora.path.name}:{lora.scale:g}" for lora in self.loras],
            **self.loop.options(),
            **self.large.options(),
            **(self.engines.options() if "tensorrt" in self.targets else {}),
        }

    def command(self) -> str:
        """The command line that asks for this export."""
        parts = ["fewstep export", self.source_name]
        parts += [f"--target {target}" for target in self.targets]
        parts += [f"--precision {precision}" for precision in self.precisions]
        parts += self.packages.flags() if "coreml" in self.targets else []
        chosen = {
            "steps": self.steps,
            "sampler": self.sampler,
            "guidance": self.guidance,
            "size": self.size,
            "vocabulary": self.vocabulary,
        }
        parts += [f"--{name} {value}" for name, value in chosen.items() if value is not None]
        parts += ["--compare"] if self.compare else []
        parts += [f"--config {self.configurations.resolve().name}"] if self.configurations else []
        parts += [f"--lora {lora.path.name}:{lora.scale:g}" for lora in self.loras]
        engines = self.engines.words() if "tensorrt" in self.targets else []
        return " ".join([*parts, *self.loop.flags(), *self.large.flags(), *engines, "-o", self.output.name])


def _known(what: str, given: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    if not given or len(set(given)) != len(given) or not set(given) <= set(allowed):
        found = ", ".join(given) or "none"
        raise FewstepError(
            f"expected each {what} once, out of {', '.join(allowed)}, found {found}; correct --{what}"
        )

"""The manifest of a bundle as frozen dataclasses; docs/architecture.md explains it, schema/ holds its JSON schema.

Readers call `Manifest.from_dict`, writers `Manifest.to_dict`; whatever a field must obey is checked on both ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from fewstep.errors import BundleError
from fewstep.records import from_json, to_json
from fewstep.samplers import SAMPLERS
from fewstep.step_table import StepTable, refuse_first_format

FORMAT = "fewstep-bundle"
SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"

Dim = int | str
DType = Literal["float32", "float16", "int32", "int64", "int8", "uint8", "bool"]

INTERFACES: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "text_encoder": (frozenset({"input_ids", "text_mask"}), frozenset({"text_states"})),
    "denoiser": (frozenset({"latents", "timestep", "text_states", "text_mask"}), frozenset({"velocity"})),
    "decoder": (frozenset({"latents"}), frozenset({"image"})),
}
"""The names of the inputs and the outputs of every component."""


@dataclass(frozen=True)
class TensorSpec:
    """An input or an output of a graph; a shape holds integers, or a name for a free dimension ("batch")."""

    name: str
    dtype: DType
    shape: tuple[Dim, ...]


@dataclass(frozen=True)
class Component:
    """One graph of a variant: its file in the bundle and its signature."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Verification:
    """How far an exported graph is from its torch original on fixed inputs; all in the units of the output.

    For whole pictures `psnr` is that of the worst one in dB, and `tolerance` bounds the root mean square error, not the largest.
    """

    max_abs_error: float
    output_scale: float
    tolerance: float
    psnr: float | None = None

    def __post_init__(self) -> None:
        if self.output_scale <= 0 or self.max_abs_error < 0:
            raise BundleError(
                f"expected an output scale above 0 and an error of at least 0, found {self.output_scale} "
                f"and {self.max_abs_error}"
            )


@dataclass(frozen=True)
class Variant:
    """One build of all the components, for one engine at one precision."""

    name: str
    engine: str
    precision: str
    format: str
    components: Mapping[str, Component]
    verification: Mapping[str, Verification] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.components.keys() != INTERFACES.keys():
            raise BundleError(
                f"expected the components {', '.join(INTERFACES)}, found {', '.join(self.components) or 'none'}"
            )
        for name, component in self.components.items():
            for side, specs, expected in zip(
                ("inputs", "outputs"), (component.inputs, component.outputs), INTERFACES[name], strict=True
            ):
                found = [spec.name for spec in specs]
                if sorted(found) != sorted(expected):
                    raise BundleError(
                        f"expected the {side} {', '.join(sorted(expected))}, found {', '.join(found)}, in '{name}'"
                    )


@dataclass(frozen=True)
class FileRecord:
    """The SHA-256 (64 lower-case hexadecimal digits) and the size of one file."""

    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        if len(self.sha256) != 64 or not set(self.sha256) <= set("0123456789abcdef"):
            raise BundleError(f"expected 64 hexadecimal digits, found '{self.sha256}', in field 'sha256'")
        if self.bytes < 0:
            raise BundleError(f"expected a size of at least 0, found {self.bytes}, in field 'bytes'")


@dataclass(frozen=True)
class Sampling:
    """What a new step table is compiled from: `shift` of the noise levels, and the default sampler and step count."""

    prediction: Literal["flow"]
    shift: float
    sampler: str
    steps: int

    def __post_init__(self) -> None:
        if self.shift <= 0 or self.steps < 1:
            raise BundleError(
                f"expected a shift above 0 and at least 1 step, found {self.shift} and {self.steps}"
            )
        if self.sampler not in SAMPLERS:
            raise BundleError(f"expected one of the samplers {', '.join(SAMPLERS)}, found '{self.sampler}'")


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance m = m_0 + scale (m_c - m_0); scale 1 means without."""

    scale: float
    negative_prompt: str = ""


@dataclass(frozen=True)
class Latent:
    """Shape (C, h, w) of the latents, and z = z_n / scale + shift with one value a channel."""

    shape: tuple[int, int, int]
    scale: tuple[float, ...]
    shift: tuple[float, ...]

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise BundleError(f"expected sizes of at least 1, found {self.shape}, in field 'shape'")
        for name, values in (("scale", self.scale), ("shift", self.shift)):
            if len(values) != self.shape[0]:
                raise BundleError(f"expected {self.shape[0]} values, found {len(values)}, in field '{name}'")
        if 0.0 in self.scale:
            raise BundleError("expected values other than 0, found 0, in field 'scale'")


@dataclass(frozen=True)
class Image:
    """The decoder's picture: side in pixels, channels and the kind of alpha."""

    size: int
    channels: Literal["RGBA"]
    alpha: Literal["premultiplied"]

    def __post_init__(self) -> None:
        if self.size < 1:
            raise BundleError(f"expected a size of at least 1, found {self.size}, in field 'size'")


@dataclass(frozen=True)
class TokenizerFile:
    """The `tokenizers` file of the bundle and the number of tokens that the text encoder takes."""

    file: str
    max_length: int

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise BundleError(f"expected at least 1 token, found {self.max_length}, in field 'max_length'")


@dataclass(frozen=True)
class Prompts:
    """Style words and example prompts that suit the model."""

    styles: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def in_styles(self) -> tuple[str, ...]:
        """Every example in every style, as the captions of the training data say it."""
        return (
            tuple(f"{example}, {style} style" for example in self.examples for style in self.styles)
            or self.examples
        )


@dataclass(frozen=True)
class Licence:
    """What is under which licence, and whom to credit."""

    what: str
    licence: str
    credit: str


@dataclass(frozen=True)
class Provenance:
    """Where the bundle comes from: hash of the checkpoint, versions of the tools, command and options."""

    checkpoint_sha256: str
    versions: Mapping[str, str]
    command: str
    options: Mapping[str, object]


@dataclass(frozen=True)
class Manifest:
    """Everything a runtime needs to know about a bundle."""

    format: Literal["fewstep-bundle"]
    schema_version: Literal[1]
    name: str
    variants: tuple[Variant, ...]
    default_variant: str
    files: Mapping[str, FileRecord]
    step_tables: Mapping[str, StepTable]
    default_step_table: str
    sampling: Sampling
    guidance: Guidance
    latent: Latent
    image: Image
    tokenizer: TokenizerFile
    prompts: Prompts
    licences: tuple[Licence, ...]
    provenance: Provenance

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise BundleError(
                f"expected variants of different names, found {', '.join(names)}, in field 'variants'"
            )
        _one_of(self.default_variant, names, "default_variant")
        _one_of(self.default_step_table, list(self.step_tables), "default_step_table")
        for path in self.files:
            require_safe_path(path)
        _one_of(self.tokenizer.file, list(self.files), "tokenizer.file")
        for variant in self.variants:
            for name, component in variant.components.items():
                _one_of(
                    component.file, list(self.files), f"components.{name}.file' of variant '{variant.name}"
                )

    def variant(self, name: str | None = None) -> Variant:
        """The variant of that name, or the default one.

        Raises:
            BundleError: no such variant.
        """
        wanted = self.default_variant if name is None else name
        for variant in self.variants:
            if variant.name == wanted:
                return variant
        names = ", ".join(variant.name for variant in self.variants)
        raise BundleError(f"expected one of the variants {names}, found '{wanted}', for bundle '{self.name}'")

    @classmethod
    def from_dict(cls, value: object, where: str = "manifest") -> "Manifest":
        """The manifest in a JSON value; BundleError names the field that is wrong."""
        version = value.get("schema_version") if isinstance(value, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise BundleError(
                f"expected a bundle of schema version {SCHEMA_VERSION}, found version {version}, in {where}; "
                "update fewstep"
            )
        tables = value.get("step_tables") if isinstance(value, dict) else None
        for name, table in tables.items() if isinstance(tables, dict) else ():
            refuse_first_format(table, f"{where}.step_tables.{name}")
        return from_json(cls, value, where)

    def to_dict(self) -> Mapping[str, object]:
        """The JSON value of the manifest; from_dict gives the same manifest back."""
        value: Mapping[str, object] = to_json(self)
        return value


def require_safe_path(path: str) -> None:
    """Refuses a path that could leave the bundle, or that other systems read in another way.

    Raises:
        BundleError: the path is empty, absolute, has '.' or '..' as a part, a backslash, a colon or a control character.
    """
    pure = PurePosixPath(path)
    plain = path.isprintable() and not {"\\", ":"} & set(path)
    if not plain or path != str(pure) or pure.is_absolute() or not pure.parts or ".." in pure.parts:
        raise BundleError(f"expected a plain relative path with '/', found {path!r}, in field 'files'")


def _one_of(value: str, names: list[str], name: str) -> None:
    if value not in names:
        raise BundleError(
            f"expected one of {', '.join(names) or 'nothing'}, found '{value}', in field '{name}'"
        )

"""The manifest of a bundle as frozen dataclasses; docs/architecture.md explains it, schema/ holds its JSON schema.

Readers call `Manifest.from_dict`, writers `Manifest.to_dict`; whatever a field must obey is checked on both ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from fewstep.errors import BundleError
from fewstep.loop_form import Loop
from fewstep.records import from_json, to_json
from fewstep.sampling import Sampling
from fewstep.step_table import StepTable, refuse_first_format
from fewstep.variant import Component, DType, TensorSpec, Variant, Verification

__all__ = [
    "FORMAT",
    "MANIFEST_NAME",
    "SCHEMA_VERSION",
    "Component",
    "DType",
    "FileRecord",
    "Guidance",
    "Image",
    "Latent",
    "Licence",
    "Loop",
    "Manifest",
    "Prompts",
    "Provenance",
    "Sampling",
    "Template",
    "TensorSpec",
    "TokenizerFile",
    "Variant",
    "Verification",
    "require_safe_path",
    "token_names",
    "token_suffix",
]

FORMAT = "fewstep-bundle"
SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"


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
class Guidance:
    """Classifier-free guidance m = m_0 + scale (m_c - m_0); scale 1 means without.

    A denoiser with the input `guidance` is told the scale instead, and has one branch.

    Args:
        scale: the default w.
        negative_prompt: what the unconditional branch reads by default; None sets all its conditions to 0.
        keep_norm: gives every line (last axis) of m the Euclidean norm of that line in m_c.
    """

    scale: float
    negative_prompt: str | None = ""
    keep_norm: bool = False


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
    channels: Literal["RGBA", "RGB"]
    alpha: Literal["premultiplied", "none"]

    def __post_init__(self) -> None:
        if self.size < 1:
            raise BundleError(f"expected a size of at least 1, found {self.size}, in field 'size'")
        if (self.channels == "RGB") != (self.alpha == "none"):
            raise BundleError(
                f"expected RGBA with premultiplied alpha or RGB with none, found {self.channels} and {self.alpha}"
            )


@dataclass(frozen=True)
class Template:
    """What stands around a prompt.

    Args:
        before: text before the prompt.
        after: text after it.
        skip: how many tokens behind the first belong to `before`, for text encoders that leave their states out.
    """

    before: str = ""
    after: str = ""
    skip: int = 0

    def __post_init__(self) -> None:
        if self.skip < 0:
            raise BundleError(f"expected at least 0 tokens, found {self.skip}, in field 'skip'")


@dataclass(frozen=True)
class TokenizerFile:
    """A `tokenizers` file of the bundle and how prompts are written for it.

    Args:
        file: the file.
        max_length: the number of tokens that the text encoder takes.
        lowercase: whether prompts are stripped of spaces at both ends and set in lower case.
        prompt: what stands around a prompt.
        negative: what stands around a negative prompt.
    """

    file: str
    max_length: int
    lowercase: bool = False
    prompt: Template = Template()
    negative: Template = Template()

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
    tokenizers: tuple[TokenizerFile, ...]
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
        if not self.tokenizers:
            raise BundleError("expected at least one tokenizer, found none, in field 'tokenizers'")
        for tokenizer in self.tokenizers:
            _one_of(tokenizer.file, list(self.files), "tokenizers.file")
        for variant in self.variants:
            variant.check_conditions(token_names(len(self.tokenizers)))
            if variant.loop.step_table is not None:
                _one_of(variant.loop.step_table, list(self.step_tables), "loop.step_table")
            for name, component in variant.components.items():
                if not self.files_of(component):
                    where = f"components.{name}.file' of variant '{variant.name}"
                    _one_of(component.file, list(self.files), where)

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

    def files_of(self, component: Component) -> tuple[str, ...]:
        """The graph of a component and, if its weights lie beside it, the file with these: FILE.data; or all files of its folder."""
        alone = tuple(name for name in (component.file, f"{component.file}.data") if name in self.files)
        return alone or tuple(name for name in self.files if name.startswith(f"{component.file}/"))

    def bytes_of(self, component: Component) -> int:
        """The size of a component on disk."""
        return sum(self.files[name].bytes for name in self.files_of(component))

    @classmethod
    def from_dict(cls, value: object, where: str = "manifest") -> "Manifest":
        """The manifest in a JSON value; BundleError names the field that is wrong."""
        version = value.get("schema_version") if isinstance(value, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise BundleError(
                f"expected a bundle of schema version {SCHEMA_VERSION}, found version {version}, in {where}; "
                "update fewstep"
            )
        if isinstance(value, dict) and "tokenizer" in value:
            raise BundleError(
                f"expected the field 'tokenizers', found 'tokenizer' of the first format, in {where}; export the bundle again"
            )
        tables = value.get("step_tables") if isinstance(value, dict) else None
        for name, table in tables.items() if isinstance(tables, dict) else ():
            refuse_first_format(table, f"{where}.step_tables.{name}")
        return from_json(cls, value, where)

    def to_dict(self) -> Mapping[str, object]:
        """The JSON value of the manifest; from_dict gives the same manifest back."""
        value: Mapping[str, object] = to_json(self)
        return value


def token_names(tokenizers: int) -> frozenset[str]:
    """The names of the tensors that so many tokenizers make; those of tokenizer k > 1 end in _k."""
    names = ("input_ids", "text_mask", "text_skip")
    return frozenset(f"{name}{token_suffix(k)}" for k in range(tokenizers) for name in names)


def token_suffix(k: int) -> str:
    """What the names of the tensors of tokenizer k, counted from 0, end in."""
    return f"_{k + 1}" if k else ""


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

"""The manifest of a bundle as frozen dataclasses; docs/bundle.md is the specification, schema/ holds its JSON schema.

Readers call `Manifest.from_dict`, writers `Manifest.to_dict`; whatever a field must obey is checked on both ways.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

from fewstep.errors import BundleError
from fewstep.limits import BUNDLE_BYTES, FILES, IMAGE_SIDE, LATENT_ELEMENTS, TOKENS, VARIANTS
from fewstep.loop_form import Loop
from fewstep.migration import SCHEMA_VERSION, upgrade
from fewstep.paths import require_distinct_paths, require_safe_path
from fewstep.records import from_json, to_json
from fewstep.sampling import Sampling
from fewstep.step_table import StepTable
from fewstep.variant import Component, DType, TensorSpec, Variant, Verification

__all__ = [
    "FORMAT",
    "MANIFEST_NAME",
    "SCHEMA_VERSION",
    "SIGNATURE_NAME",
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
MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.json.minisig"


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
        if prod(self.shape) > LATENT_ELEMENTS:
            raise BundleError(
                f"expected at most {LATENT_ELEMENTS} numbers, found {prod(self.shape)}, in field 'shape'"
            )
        for name, values in (("scale", self.scale), ("shift", self.shift)):
            if len(values) != self.shape[0]:
                raise BundleError(f"expected {self.shape[0]} values, found {len(values)}, in field '{name}'")
        if 0.0 in self.scale:
            raise BundleError("expected values other than 0, found 0, in field 'scale'")

    def pixels(self, image: "Image") -> int:
        """Of the picture for a position of the latents, along a side."""
        return image.size // self.shape[-1]


@dataclass(frozen=True)
class Image:
    """The decoder's picture: side in pixels, channels and the kind of alpha."""

    size: int
    channels: Literal["RGBA", "RGB"]
    alpha: Literal["premultiplied", "none"]

    def __post_init__(self) -> None:
        if not 1 <= self.size <= IMAGE_SIDE:
            raise BundleError(f"expected a size of 1 to {IMAGE_SIDE}, found {self.size}, in field 'size'")
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
        if not 1 <= self.max_length <= TOKENS:
            raise BundleError(
                f"expected 1 to {TOKENS} tokens, found {self.max_length}, in field 'max_length'"
            )


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
        if len(names) > VARIANTS:
            raise BundleError(f"expected at most {VARIANTS} variants, found {len(names)}")
        _one_of(self.default_variant, names, "default_variant")
        _one_of(self.default_step_table, list(self.step_tables), "default_step_table")
        self._check_files()
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

    def _check_files(self) -> None:
        if len(self.files) > FILES:
            raise BundleError(f"expected at most {FILES} files, found {len(self.files)}, in field 'files'")
        for path in self.files:
            require_safe_path(path)
        # The signature lies beside the manifest that it signs, so neither can be listed.
        require_distinct_paths([*self.files, MANIFEST_NAME, SIGNATURE_NAME])
        total = sum(record.bytes for record in self.files.values())
        if total > BUNDLE_BYTES:
            raise BundleError(f"expected files of at most {BUNDLE_BYTES} bytes together, found {total}")

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
        """The manifest in a JSON value, of this version or an older one; BundleError names the field that is wrong."""
        return from_json(cls, upgrade(value, where), where)

    def to_dict(self) -> Mapping[str, object]:
        """The JSON value of the manifest; from_dict gives the same manifest back."""
        value: Mapping[str, object] = to_json(self)
        return value

    def to_text(self) -> str:
        """The content of `manifest.json`, in UTF-8.

        Raises:
            ValueError: a number is not finite, which no reader would take.
        """
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form: `to_dict` as JSON with sorted keys and no spaces, in UTF-8; it names the bundle's contents."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def token_names(tokenizers: int) -> frozenset[str]:
    """The names of the tensors that so many tokenizers make; those of tokenizer k > 1 end in _k."""
    names = ("input_ids", "text_mask", "text_skip")
    return frozenset(f"{name}{token_suffix(k)}" for k in range(tokenizers) for name in names)


def token_suffix(k: int) -> str:
    """What the names of the tensors of tokenizer k, counted from 0, end in."""
    return f"_{k + 1}" if k else ""


def _one_of(value: str, names: list[str], name: str) -> None:
    if value not in names:
        raise BundleError(
            f"expected one of {', '.join(names) or 'nothing'}, found '{value}', in field '{name}'"
        )

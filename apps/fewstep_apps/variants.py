"""Which builds of a bundle an app can run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.variant import Variant


@dataclass(frozen=True)
class Runner:
    """An app, in words, and the engine and formats that it runs."""

    name: str
    engine: str
    formats: tuple[str, ...]
    target: str


BROWSER = Runner("a browser", "onnxruntime", ("onnx",), "ort")
ANDROID = Runner("the Android app", "onnxruntime", ("onnx", "ort"), "ort")
IOS = Runner("the iOS app", "coreml", ("mlpackage",), "coreml")


def chosen(bundle: Bundle, names: Sequence[str], runner: Runner) -> list[Variant]:
    """The variants of those names, or the smallest one that the app can run.

    Raises:
        FewstepError: the app cannot run one of them, or none of the bundle's; or something else of the bundle.
    """
    _require_plain(bundle)
    for name in names:
        if why := refusal(bundle, bundle.manifest.variant(name), runner):
            raise FewstepError(
                f"expected a variant that {runner.name} can run, found {why}, in variant '{name}'; choose another"
            )
    if names:
        return [bundle.manifest.variant(name) for name in names]
    fit = [variant for variant in bundle.manifest.variants if refusal(bundle, variant, runner) is None]
    if not fit:
        raise FewstepError(
            f"expected a variant that {runner.name} can run, found none, in {bundle.root}; export with --target {runner.target}"
        )
    return [min(fit, key=lambda variant: size(bundle, variant))]


def size(bundle: Bundle, variant: Variant) -> int:
    """The bytes of all graphs of a variant."""
    manifest = bundle.manifest
    names = {name for c in variant.components.values() for name in manifest.files_of(c)}
    return sum(manifest.files[name].bytes for name in names)


def refusal(bundle: Bundle, variant: Variant, runner: Runner) -> str | None:
    """Why the app cannot run a variant, in words; None if it can."""
    if variant.engine != runner.engine or variant.format not in runner.formats:
        return f"{variant.format} files for {variant.engine}"
    if variant.loop.form != "host" or "prompt" in variant.components:
        return f"a loop in the form '{variant.form}'"
    if any(f"{component.file}.data" in bundle.manifest.files for component in variant.components.values()):
        return "weights beside a graph"
    dtypes = {spec.dtype for component in variant.components.values() for spec in component.inputs}
    return f"inputs of {', '.join(sorted(dtypes))}" if dtypes - {"float32", "int32"} else None


def _require_plain(bundle: Bundle) -> None:
    """Refuses what the apps' own loops and tokenizers do not do.

    Raises:
        FewstepError: guidance that keeps norms, or a tokenizer that is not BERT's.
    """
    if bundle.manifest.guidance.keep_norm:
        raise FewstepError(
            f"expected guidance that does not keep norms, found it, in {bundle.root}; the apps have none"
        )
    for record in bundle.manifest.tokenizers:
        if why := _foreign(bundle.file(record.file)):
            raise FewstepError(
                f"expected a WordPiece tokenizer as BERT has it, found {why}, in {record.file}; the apps have no other"
            )


def _foreign(path: Path) -> str | None:
    """What in a tokenizer file the tokenizers of the apps do not know, in words; None if they know all."""
    content = json.loads(path.read_text(encoding="utf-8"))
    known: dict[str, tuple[str | None, ...]] = {
        "model": ("WordPiece",),
        "normalizer": (None, "BertNormalizer"),
        "pre_tokenizer": ("BertPreTokenizer",),
        "post_processor": (None, "TemplateProcessing"),
    }
    for part, types in known.items():
        found = (content.get(part) or {}).get("type")
        if found not in types:
            return f"the {part} {found}"
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    plain = not any(token[flag] for token in content["added_tokens"] for flag in flags)
    return None if plain else "added tokens that take their neighbours"

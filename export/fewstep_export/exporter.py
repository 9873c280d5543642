"""A checkpoint to a verified bundle; the body of `fewstep export`."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fewstep.errors import FewstepError
from fewstep.manifest import (
    Guidance,
    Image,
    Latent,
    Licence,
    Manifest,
    Prompts,
    Provenance,
    Sampling,
    TokenizerFile,
    Variant,
)
from fewstep.pipeline import Pipeline
from fewstep.records import from_json
from fewstep.samplers import SAMPLERS, compile_table
from fewstep_export.bundle_writer import file_records, licences_text, reusable, staged_folder, write_manifest
from fewstep_export.components import Generator, load_generator
from fewstep_export.config import ExportConfig, OnProgress
from fewstep_export.fixed_inputs import fixed_cases, prompts_of
from fewstep_export.picture_loop import Pictures, PictureTask, draw, draw_bundle, draw_torch, verify_pictures
from fewstep_export.provenance import provenance_of
from fewstep_export.targets import ort

TOKENIZER, LICENCES = "tokenizer.json", "LICENCES.md"
TEXT_ENCODER_LICENCE = Licence(
    "text encoder and tokenizer, all-MiniLM-L6-v2", "Apache-2.0", "sentence-transformers"
)


def export(config: ExportConfig, on_progress: OnProgress = lambda _what, _done, _total: None) -> Path:
    """Writes the bundle of a checkpoint and returns its folder.

    A whole bundle that the same checkpoint, options and versions gave before is kept as it is.

    Raises:
        FewstepError: the source, an option or the place of the bundle is wrong, or a build is not what torch computes.
        OSError: the bundle cannot be written. In all cases nothing half-written is left, and an older bundle stays.
    """
    on_progress("loading the checkpoint", 0, 1)
    return export_generator(load_generator(config.source), config, on_progress)


def export_generator(
    generator: Generator, config: ExportConfig, on_progress: OnProgress = lambda _what, _done, _total: None
) -> Path:
    """Like `export`, from a model in memory."""
    provenance = provenance_of(generator, config)
    if reusable(config.output, provenance):
        return config.output
    sampling = _sampling(generator, config)
    progress = _Progress(on_progress, ort.stages(config.precisions) + 3)
    with staged_folder(config.output) as root:
        table = compile_table(sampling.sampler, sampling.steps, sampling.shift)
        progress.begin("evaluating torch on fixed inputs")
        builds = ort.build(generator, config.precisions, fixed_cases(generator, table), root, progress.begin)
        shutil.copyfile(generator.tokenizer, root / TOKENIZER)
        licences = _licences(generator)
        (root / LICENCES).write_text(licences_text(generator.config.name, licences), encoding="utf-8")
        manifest = _manifest(
            generator, config, sampling, [build.variant for build in builds], root, provenance
        )
        write_manifest(root, manifest)
        task = PictureTask(prompts_of(generator), table, manifest.guidance.scale)
        progress.begin("drawing with torch")
        expected = draw_torch(generator, task)
        progress.begin("drawing with every build")
        variants = tuple(_with_pictures(generator, build, task, expected, root) for build in builds)
        write_manifest(root, replace(manifest, variants=variants))
    return config.output


class _Progress:
    """Counts stages for the caller."""

    def __init__(self, on_progress: OnProgress, total: int) -> None:
        self._on_progress, self._total, self._done = on_progress, total, 0

    def begin(self, what: str) -> None:
        self._on_progress(what, self._done, self._total)
        self._done += 1


def _with_pictures(
    generator: Generator, build: ort.Build, task: PictureTask, expected: Pictures, root: Path
) -> Variant:
    """The variant with its pictures verified: those of the runtime here and, for FP16, those of a device with FP16."""
    name = build.variant.name
    found = {"pictures": draw_bundle(Pipeline(root, name), task)}
    if build.emulation:
        found["pictures_emulated"] = draw(generator, build.emulation, task)
    verification = {key: verify_pictures(pictures, expected, name) for key, pictures in found.items()}
    return replace(build.variant, verification={**build.variant.verification, **verification})


def _sampling(generator: Generator, config: ExportConfig) -> Sampling:
    defaults = generator.config.sampling
    if defaults.prediction != "flow":
        raise FewstepError(
            f"expected a checkpoint that predicts flow, found '{defaults.prediction}'; use another checkpoint"
        )
    steps = defaults.steps if config.steps is None else config.steps
    return Sampling("flow", defaults.shift, config.sampler or defaults.sampler, steps)


def _licences(generator: Generator) -> tuple[Licence, ...]:
    given = tuple(from_json(Licence, entry, "licences of model.json") for entry in generator.config.licences)
    told = any("MiniLM" in entry.what for entry in given)
    return given if told else (*given, TEXT_ENCODER_LICENCE)


def _manifest(
    generator: Generator,
    config: ExportConfig,
    sampling: Sampling,
    variants: Sequence[Variant],
    root: Path,
    provenance: Provenance,
) -> Manifest:
    facts = generator.config
    tables = [compile_table(sampler, sampling.steps, sampling.shift) for sampler in SAMPLERS]
    default = compile_table(sampling.sampler, sampling.steps, sampling.shift)
    size = facts.denoiser.size
    return Manifest(
        format="fewstep-bundle",
        schema_version=1,
        name=facts.name,
        variants=tuple(variants),
        default_variant=variants[0].name,
        files=file_records(root),
        step_tables={table.name: table for table in tables},
        default_step_table=default.name,
        sampling=sampling,
        guidance=Guidance(facts.sampling.guidance if config.guidance is None else config.guidance),
        latent=Latent((facts.denoiser.latent_channels, size, size), facts.latent.scale, facts.latent.shift),
        image=Image(facts.image_size, "RGBA", "premultiplied"),
        tokenizer=TokenizerFile(TOKENIZER, facts.max_length),
        prompts=Prompts(facts.styles, facts.examples),
        licences=_licences(generator),
        provenance=provenance,
    )

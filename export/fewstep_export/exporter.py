"""A checkpoint to a verified bundle; the body of `fewstep export`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fewstep.errors import FewstepError
from fewstep.manifest import Manifest, Provenance, Sampling, Variant
from fewstep.pipeline import Pipeline
from fewstep.step_table import StepTable
from fewstep_export.bundle_writer import file_records, licences_text, reusable, staged_folder, write_manifest
from fewstep_export.checkpoints import load_generator
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig, OnProgress
from fewstep_export.fixed_inputs import fixed_cases, prompts_of
from fewstep_export.picture_loop import (
    MINIMUM_PSNR,
    MINIMUM_PSNR_FP32,
    Pictures,
    PictureTask,
    draw_bundle,
    draw_torch,
    draw_with,
    verify_pictures,
)
from fewstep_export.provenance import provenance_of
from fewstep_export.targets import ort

LICENCES = "LICENCES.md"
NATIVE_SAMPLERS = ("flow-dpm++2m", "flow-euler")
"""Whose tables go with every native bundle, for runtimes that cannot compile one."""


def export(config: ExportConfig, on_progress: OnProgress = lambda _what, _done, _total: None) -> Path:
    """Writes the bundle of a checkpoint and returns its folder.

    A whole bundle that the same checkpoint, options and versions gave before is kept as it is.

    Raises:
        FewstepError: the source, an option or the place of the bundle is wrong, or a build is not what torch computes.
        OSError: the bundle cannot be written. In all cases nothing half-written is left, and an older bundle stays.
    """
    on_progress("loading the checkpoint", 0, 1)
    return export_generator(load_generator(config), config, on_progress)


def export_generator(
    generator: Generator, config: ExportConfig, on_progress: OnProgress = lambda _what, _done, _total: None
) -> Path:
    """Like `export`, from a model in memory."""
    provenance = provenance_of(generator, config)
    if reusable(config.output, provenance):
        return config.output
    generator = _with_options(generator, config)
    table = generator.sampling.table()
    progress = _Progress(on_progress, ort.stages(generator, config.precisions) + 3)
    with staged_folder(config.output) as root:
        progress.begin("evaluating torch on fixed inputs")
        builds = ort.build(generator, config.precisions, fixed_cases(generator, table), root, progress.begin)
        for source in generator.tokenizers:
            (root / source.record.file).write_text(source.content, encoding="utf-8")
        (root / LICENCES).write_text(licences_text(generator.name, generator.licences), encoding="utf-8")
        manifest = _manifest(generator, table, [build.variant for build in builds], root, provenance)
        write_manifest(root, manifest)
        task = PictureTask(prompts_of(generator), table, generator.guidance.scale)
        progress.begin("drawing with torch")
        expected = {"": draw_torch(generator, task)}
        if config.compare:
            expected["_pipeline"] = _draw_reference(generator, task)
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


def _draw_reference(generator: Generator, task: PictureTask) -> Pictures:
    """The pictures of the task by the program that the checkpoint was made for."""
    if generator.reference is None:
        raise FewstepError(
            f"expected a diffusers pipeline to compare with, found none, for {generator.name}; leave out --compare"
        )
    return generator.reference(task.prompts, generator.sampling, task.guidance)


def _with_pictures(
    generator: Generator, build: ort.Build, task: PictureTask, expected: Mapping[str, Pictures], root: Path
) -> Variant:
    """The variant with its pictures verified: those of the runtime here and, for FP16, those of a device with FP16.

    `expected` holds the pictures of the torch modules and maybe of the checkpoint's own program, by the ending of their key.
    """
    name = build.variant.name
    found = {"pictures": draw_bundle(Pipeline(root, name), task)}
    if build.emulation:
        found["pictures_emulated"] = draw_with(generator, build.emulation, task)
    minimum = MINIMUM_PSNR if build.emulation else MINIMUM_PSNR_FP32
    verification = {
        f"{key}{ending}": verify_pictures(pictures, right, name, minimum)
        for key, pictures in found.items()
        for ending, right in expected.items()
    }
    return replace(build.variant, verification={**build.variant.verification, **verification})


def _with_options(generator: Generator, config: ExportConfig) -> Generator:
    """The generator with the defaults that the user chose."""
    sampling, guidance = generator.sampling, generator.guidance
    return replace(
        generator,
        sampling=replace(
            sampling,
            sampler=config.sampler or sampling.sampler,
            steps=sampling.steps if config.steps is None else config.steps,
        ),
        guidance=replace(guidance, scale=guidance.scale if config.guidance is None else config.guidance),
    )


def _tables(sampling: Sampling, default: StepTable) -> list[StepTable]:
    """The tables that go with the bundle, the default one last."""
    others = () if sampling.scheduler else NATIVE_SAMPLERS
    return [*(sampling.table(sampler=sampler) for sampler in others), default]


def _manifest(
    generator: Generator, table: StepTable, variants: Sequence[Variant], root: Path, provenance: Provenance
) -> Manifest:
    return Manifest(
        format="fewstep-bundle",
        schema_version=1,
        name=generator.name,
        variants=tuple(variants),
        default_variant=variants[0].name,
        files=file_records(root),
        step_tables={table.name: table for table in _tables(generator.sampling, table)},
        default_step_table=table.name,
        sampling=generator.sampling,
        guidance=generator.guidance,
        latent=generator.latent,
        image=generator.image,
        tokenizers=tuple(source.record for source in generator.tokenizers),
        prompts=generator.prompts,
        licences=generator.licences,
        provenance=provenance,
    )

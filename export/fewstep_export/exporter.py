"""A checkpoint to a verified bundle; the body of `fewstep export`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from fewstep import atomic
from fewstep.errors import FewstepError
from fewstep.manifest import Variant
from fewstep.pipeline import Pipeline
from fewstep.staged import staged_folder
from fewstep_export.bundle_manifest import manifest_of, with_options, write_texts
from fewstep_export.bundle_writer import reusable, write_manifest
from fewstep_export.checkpoints import load_generator
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig, OnProgress, OnSay
from fewstep_export.fixed_inputs import fixed_cases, prompts_of
from fewstep_export.large.threshold import is_large
from fewstep_export.loop_forms.verify import add_loop_forms
from fewstep_export.picture_loop import (
    Pictures,
    PictureTask,
    draw_bundle,
    draw_torch,
    draw_with,
    verify_pictures,
)
from fewstep_export.provenance import provenance_of
from fewstep_export.source_watch import blaming, watch
from fewstep_export.targets.build import build_all, stages
from fewstep_export.targets.ort import Build


def export(
    config: ExportConfig,
    on_progress: OnProgress = lambda _what, _done, _total: None,
    say: OnSay = lambda _line: None,
) -> Path:
    """Writes the bundle of a checkpoint and returns its folder.

    A whole bundle that the same checkpoint, options and versions gave before is kept as it is. A diffusers folder with a large component
    is exported one component at a time; `say` is told what that takes.

    Raises:
        FewstepError: the source, an option or the place of the bundle is wrong, or a build is not what torch computes.
        OSError: the bundle cannot be written. In all cases nothing half-written is left, and an older bundle stays.
    """
    on_progress("loading the checkpoint", 0, 1)
    if is_large(config):
        if "tensorrt" in config.targets:
            raise FewstepError(
                "expected --target ort or coreml for a large checkpoint, found tensorrt, whose builder holds a whole component "
                "several times; raise --large-from if the memory is there"
            )
        from fewstep_export.large.export import export_large  # takes seconds: it imports diffusers

        return export_large(config, on_progress, say)
    require_unchanged = watch(config)
    with blaming(require_unchanged):
        return export_generator(load_generator(config), config, on_progress, require_unchanged)


def export_generator(
    generator: Generator,
    config: ExportConfig,
    on_progress: OnProgress = lambda _what, _done, _total: None,
    require_unchanged: Callable[[], None] = lambda: None,
) -> Path:
    """Like `export`, from a model in memory; `require_unchanged` raises if it is not the checkpoint's any more."""
    with atomic.sole_writer(config.output):
        return _export(generator, config, on_progress, require_unchanged)


def _export(
    generator: Generator,
    config: ExportConfig,
    on_progress: OnProgress,
    require_unchanged: Callable[[], None],
) -> Path:
    provenance = provenance_of(generator, config)
    if reusable(config.output, provenance):
        return config.output
    generator = with_options(generator, config)
    table = generator.sampling.table()
    progress = _Progress(on_progress, stages(generator, config) + 3 + bool(config.loop))
    with staged_folder(config.output, require_unchanged) as root:
        progress.begin("evaluating torch on fixed inputs")
        builds = build_all(generator, config, fixed_cases(generator, table), root, progress.begin)
        write_texts(generator, root)
        manifest = manifest_of(generator, table, [build.variant for build in builds], root, provenance)
        write_manifest(root, manifest)
        task = PictureTask(prompts_of(generator), table, generator.guidance.scale)
        progress.begin("drawing with torch")
        expected = {"": draw_torch(generator, task)}
        if config.compare:
            expected["_pipeline"] = _draw_reference(generator, task)
        progress.begin("drawing with every build")
        variants = tuple(_with_pictures(generator, build, task, expected, root) for build in builds)
        if config.loop:
            progress.begin("building other forms of the loop")
        manifest = add_loop_forms(generator, replace(manifest, variants=variants), config.loop, task, root)
        if config.loop and "tensorrt" in config.targets:
            from fewstep_export.targets.tensorrt_loops import add_engines  # TensorRT is an extra

            manifest = add_engines(manifest, config.engines, root)
        write_manifest(root, manifest)
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
    generator: Generator, build: Build, task: PictureTask, expected: Mapping[str, Pictures], root: Path
) -> Variant:
    """The variant with its pictures verified: those of the runtime here and, for FP16, those of a device with FP16.

    `expected` holds the pictures of the torch modules and maybe of the checkpoint's own program, by the ending of their key.
    """
    name = build.variant.name
    found = {}
    if build.variant.engine == "onnxruntime":
        found["pictures"] = draw_bundle(Pipeline(root, name), task)
    if build.emulation:
        found["pictures_emulated"] = draw_with(generator, build.emulation, task)
    verification = {
        f"{key}{ending}": verify_pictures(pictures, right, name, build.minimum_psnr)
        for key, pictures in found.items()
        for ending, right in expected.items()
    }
    return replace(build.variant, verification={**build.variant.verification, **verification})

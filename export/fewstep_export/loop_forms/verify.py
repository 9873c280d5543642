"""The same picture from every form of the loop, or no bundle."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from fewstep.manifest import Manifest, Variant
from fewstep.pipeline import Pipeline
from fewstep_export.bundle_writer import file_records, write_manifest
from fewstep_export.components import Generator
from fewstep_export.loop_forms.config import LoopForms
from fewstep_export.loop_forms.variants import build_variants
from fewstep_export.picture_loop import (
    MINIMUM_PSNR,
    MINIMUM_PSNR_FP32,
    Pictures,
    PictureTask,
    draw_bundle,
    draw_torch,
    verify_pictures,
)

MINIMUM_PSNR_HOST = 60.0
"""Of an FP32 form against the same graphs with their loop on the host (dB): they differ by rounding alone."""


def add_loop_forms(
    generator: Generator | None,
    manifest: Manifest,
    forms: LoopForms,
    task: PictureTask,
    root: Path,
    only: Variant | None = None,
) -> Manifest:
    """The manifest with the variants that were asked for, whose graphs it writes; it writes the manifest too.

    Every one draws the task: its pictures are compared with those of torch (`pictures`) and with those of the same build whose loop
    runs on the host (`pictures_host`).

    Args:
        generator: the torch originals; None where only the bundle is there, and `pictures_host` is all that is compared.
        manifest: of the bundle as it is; variants of the same names give way.
        forms: what to build.
        task: what to draw.
        root: folder of the bundle.
        only: the variant to build them of; None for all.

    Raises:
        FewstepError: a form does not apply to this model, or gives another picture.
    """
    if not forms:
        return manifest
    compiled = manifest.sampling.table(forms.unroll)
    table = manifest.step_tables.get(compiled.name, compiled)
    built = build_variants(manifest, forms, table, root, only)
    tables = manifest.step_tables if forms.unroll is None else {**manifest.step_tables, table.name: table}
    new = {form.variant.name for form in built}
    others = tuple(variant for variant in manifest.variants if variant.name not in new)

    def written(variants: list[Variant]) -> Manifest:
        return replace(manifest, variants=(*others, *variants), files=file_records(root), step_tables=tables)

    @cache
    def torch(task: PictureTask) -> Pictures:
        assert generator is not None
        return draw_torch(generator, task)

    @cache
    def drawn(variant: str, task: PictureTask) -> Pictures:
        return draw_bundle(Pipeline(root, variant), task)

    def verified(variant: Variant, base: Variant) -> Variant:
        own = task if variant.loop.step_table is None else replace(task, table=table)
        found, name = drawn(variant.name, own), variant.name
        exact = variant.precision == "fp32"
        bound, host_bound = (
            (MINIMUM_PSNR_FP32, MINIMUM_PSNR_HOST) if exact else (MINIMUM_PSNR, MINIMUM_PSNR_FP32)
        )
        host = verify_pictures(found, drawn(base.name, own), name, host_bound, f"those of {base.name}")
        verification = {"pictures_host": host}
        if generator is not None:
            verification["pictures"] = verify_pictures(found, torch(own), name, bound)
        return replace(variant, verification=verification)

    write_manifest(root, written([form.variant for form in built]))  # to draw, a bundle must be whole
    return written([verified(form.variant, form.base) for form in built])

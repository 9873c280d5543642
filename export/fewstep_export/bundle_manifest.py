"""What a bundle tells about its model, whichever way its graphs are made."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fewstep.manifest import Manifest, Provenance, Sampling, Variant
from fewstep.step_table import StepTable
from fewstep_export.bundle_writer import file_records, licences_text
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig

LICENCES = "LICENCES.md"
NATIVE_SAMPLERS = ("flow-dpm++2m", "flow-euler")
"""Whose tables go with every native bundle, for runtimes that cannot compile one."""


def with_options(generator: Generator, config: ExportConfig) -> Generator:
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


def write_texts(generator: Generator, root: Path) -> None:
    """Writes the tokenizers and the licences."""
    for source in generator.tokenizers:
        (root / source.record.file).write_text(source.content, encoding="utf-8")
    (root / LICENCES).write_text(licences_text(generator.name, generator.licences), encoding="utf-8")


def manifest_of(
    generator: Generator, table: StepTable, variants: Sequence[Variant], root: Path, provenance: Provenance
) -> Manifest:
    """The manifest of a folder with all of its files.

    Args:
        generator: the model with the user's options.
        table: its default step table.
        variants: the default one first.
        root: the folder.
        provenance: where it comes from.
    """
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


def _tables(sampling: Sampling, default: StepTable) -> list[StepTable]:
    """The tables that go with the bundle, the default one last."""
    others = () if sampling.scheduler else NATIVE_SAMPLERS
    return [*(sampling.table(sampler=sampler) for sampler in others), default]

"""A manifest as text for a person; the body of `fewstep info`."""

from fewstep.manifest import Manifest, Variant


def describe(manifest: Manifest) -> str:
    """Name, variants with sizes, step tables, defaults, prompts and licences, one fact a line."""
    image, sampling = manifest.image, manifest.sampling
    lines = [
        f"{manifest.name}: {image.size} x {image.size} pixels, {image.channels}",
        *(_variant(manifest, variant) for variant in manifest.variants),
        f"step tables: {', '.join(manifest.step_tables)} (default {manifest.default_step_table})",
        f"other steps: any number by {', '.join(sampling.samplers)}",
        f"guidance: {manifest.guidance.scale:g}",
        f"prompts: at most {min(t.max_length for t in manifest.tokenizers)} tokens; styles: {', '.join(manifest.prompts.styles) or 'none'}",
        *(f"licence: {licence.what}: {licence.licence}, {licence.credit}" for licence in manifest.licences),
        f"made by: {manifest.provenance.command}",
    ]
    return "\n".join(lines)


def _variant(manifest: Manifest, variant: Variant) -> str:
    size = sum(manifest.bytes_of(component) for component in variant.components.values())
    default = " (default)" if variant.name == manifest.default_variant else ""
    errors = [f"{name} {v.max_abs_error / v.output_scale:.1e}" for name, v in variant.verification.items()]
    checked = f", relative error against torch: {', '.join(errors)}" if errors else ""
    kind = f"{variant.engine}, {variant.precision}, loop: {variant.form}"
    if variant.sizes:
        ranges = " or ".join(map(str, variant.sizes.profiles))
        kind += f", sizes {ranges} in steps of {variant.sizes.multiple}"
    return f"variant {variant.name}{default}: {kind}, {size / 1e6:.1f} MB{checked}"

"""Other forms of the loop for every kind of guidance; what builds them compares their pictures itself."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor, nn

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.manifest import FileRecord, Guidance, Manifest
from fewstep.pipeline import Pipeline
from fewstep.samplers import SAMPLERS
from fewstep_export.bundle_writer import file_records, write_manifest
from fewstep_export.components import Component, Generator
from fewstep_export.fixed_inputs import fixed_cases, prompts_of
from fewstep_export.loop_forms.config import LoopForms
from fewstep_export.loop_forms.variants import LIMIT, build_variants
from fewstep_export.loop_forms.verify import MINIMUM_PSNR_HOST, add_loop_forms
from fewstep_export.onnx_export import export_component, to_bytes
from fewstep_export.picture_loop import MINIMUM_PSNR_FP32, PictureTask, draw_bundle, psnr
from fewstep_export.signature import component_record

SCALE = 30.0  # so large that both branches show in the pictures of a network that has learnt nothing
FORMS = LoopForms(hoist=True, fuse_step=True, unroll=2)
NAMES = ["fp32-hoisted", "fp32-hoisted-fused", "fp32-unrolled"]


class ToldGuidance(nn.Module):
    """A denoiser that is told the scale of guidance."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(
        self, latents: Tensor, timestep: Tensor, states: Tensor, mask: Tensor, guidance: Tensor
    ) -> Tensor:
        output: Tensor = self.denoiser(latents, timestep, states, mask) * guidance[:, None, None, None] / 2
        return output


def told(generator: Generator) -> Generator:
    encoder, denoiser, decoder = generator.components
    assert isinstance(denoiser, Component)
    inputs = (*denoiser.inputs, "guidance")
    module = ToldGuidance(denoiser.module)
    return replace(generator, components=(encoder, replace(denoiser, module=module, inputs=inputs), decoder))


def with_denoiser(root: Path, manifest: Manifest, generator: Generator) -> Manifest:
    """The bundle with the denoiser of another generator."""
    feeds = fixed_cases(generator, generator.sampling.table())["denoiser"][0].feeds
    model = export_component(generator.component("denoiser"), feeds).model
    (variant,) = manifest.variants
    file = root / variant.components["denoiser"].file
    file.write_bytes(to_bytes(model))
    record = component_record(model, variant.components["denoiser"].file)
    variant = replace(variant, components={**variant.components, "denoiser": record})
    return replace(manifest, variants=(variant,), files=file_records(root))


@pytest.fixture
def root(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle."""
    return Path(shutil.copytree(bundle, tmp_path / "tiny.fewstep"))


def fp32(root: Path) -> Manifest:
    """Its manifest, with one variant."""
    manifest = Bundle.open(root).manifest
    return replace(manifest, variants=(manifest.variant("fp32"),))


KINDS = {
    "usual": Guidance(SCALE),
    "keep_norm": Guidance(SCALE, keep_norm=True),
    "no negative prompt": Guidance(SCALE, None),
    "told": Guidance(3.0),
    "off": Guidance(1.0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_guidance_gives_the_pictures_of_the_host_loop(
    tiny: Generator, root: Path, kind: str
) -> None:
    generator = replace(told(tiny) if kind == "told" else tiny, guidance=KINDS[kind])
    manifest = replace(fp32(root), guidance=generator.guidance)
    if kind == "told":
        manifest = with_denoiser(root, manifest, generator)
    task = PictureTask(prompts_of(generator), generator.sampling.table(), generator.guidance.scale)
    found = add_loop_forms(generator, manifest, FORMS, task, root)
    assert [variant.name for variant in found.variants] == ["fp32", *NAMES]
    for variant in found.variants[1:]:
        check = variant.verification
        assert (check["pictures_host"].psnr or 0) >= MINIMUM_PSNR_HOST
        assert (check["pictures"].psnr or 0) >= MINIMUM_PSNR_FP32
        both = any(name.startswith("negative_") for name in variant.network.input_names)
        assert both == (kind not in ("told", "off") and variant.loop.form != "host")


def test_a_graph_with_another_norm_is_noticed(tiny: Generator, root: Path) -> None:
    """What the test above rests on: pictures with and without keep_norm differ by more than the bound."""
    generator = replace(tiny, guidance=Guidance(SCALE, keep_norm=True))
    task = PictureTask(prompts_of(generator), generator.sampling.table(), SCALE)
    with pytest.raises(
        FewstepError, match=r"expected pictures in fp32-hoisted within 40 dB PSNR of torch, found"
    ):
        add_loop_forms(generator, fp32(root), FORMS, task, root)


def test_every_sampler_of_flow_runs_in_the_fused_step(tiny: Generator, root: Path) -> None:
    forms = LoopForms(fuse_step=True)
    task = PictureTask(prompts_of(tiny), tiny.sampling.table(), 3.0)
    write_manifest(root, add_loop_forms(tiny, Bundle.open(root).manifest, forms, task, root))
    host, fused = (Pipeline(root, name) for name in ("fp32", "fp32-fused"))
    for sampler in SAMPLERS:
        table = host.step_table(5, sampler)
        own = replace(task, table=table)
        assert psnr(draw_bundle(fused, own), draw_bundle(host, own)) > MINIMUM_PSNR_HOST, sampler


def test_a_bundle_without_onnx_graphs_is_refused(root: Path, tiny: Generator) -> None:
    manifest = Bundle.open(root).manifest
    manifest = replace(manifest, variants=(manifest.variant("fp32-ort"),), default_variant="fp32-ort")
    with pytest.raises(FewstepError, match=r"expected a variant of \.onnx graphs .* found fp32-ort"):
        build_variants(manifest, FORMS, tiny.sampling.table(), root)


def test_graphs_too_large_for_a_file_are_refused_before_they_are_read(root: Path, tiny: Generator) -> None:
    manifest = fp32(root)
    weights = {"ort/fp32/denoiser.onnx.data": FileRecord("0" * 64, LIMIT)}
    manifest = replace(manifest, files={**manifest.files, **weights})
    with pytest.raises(
        FewstepError, match=r"expected graphs below 2\.1 GB .* found 2\.1 GB, in variant 'fp32'"
    ):
        build_variants(manifest, FORMS, tiny.sampling.table(), root)


def test_less_than_one_step_is_refused() -> None:
    with pytest.raises(FewstepError, match="expected at least 1 step, found 0; choose a larger --unroll"):
        LoopForms(unroll=0)

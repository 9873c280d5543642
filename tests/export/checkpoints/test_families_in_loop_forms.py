"""Every family of pipelines in every form of the loop: the export itself compares the pictures."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from fewstep.bundle import Bundle
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export
from fewstep_export.loop_forms.config import LoopForms
from fewstep_export.loop_forms.verify import MINIMUM_PSNR_HOST

from .test_diffusers import NAMES

FORMS = {"fp32-hoisted": "host, hoisted", "fp32-hoisted-fused": "fused, hoisted", "fp32-unrolled": "unrolled"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_form_draws_the_picture_of_the_host_loop(
    name: str, checkpoint: Callable[[str], Path], tiny_pipelines: ModuleType, tmp_path: Path
) -> None:
    case = tiny_pipelines.CASES[name]
    config = ExportConfig(
        str(checkpoint(name)), tmp_path / "tiny.fewstep", precisions=("fp32",), steps=case.steps, size=case.size,
        loop=LoopForms(hoist=True, fuse_step=True, unroll=case.steps),
    )  # fmt: skip
    manifest = Bundle.open(export(config)).manifest
    assert {v.name: v.form for v in manifest.variants if v.form != "host"} == FORMS
    for form in FORMS:
        assert (manifest.variant(form).verification["pictures_host"].psnr or 0) >= MINIMUM_PSNR_HOST

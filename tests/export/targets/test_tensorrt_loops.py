"""Engines of every form of the loop, built by the real TensorRT-RTX on this machine without a GPU."""

from pathlib import Path

import pytest

from fewstep.bundle import Bundle
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export_generator
from fewstep_export.loop_forms.config import LoopForms

pytest.importorskip("tensorrt_rtx", reason="the extra [tensorrt] is not installed")


@pytest.mark.slow
def test_every_form_in_fp16_has_engines_and_shares_what_it_can(tiny: Generator, tmp_path: Path) -> None:
    forms = LoopForms(fuse_step=True, unroll=2)
    config = ExportConfig("tiny", tmp_path / "tiny.fewstep", ("ort", "tensorrt"), ("fp16",), loop=forms)
    bundle = Bundle.open(export_generator(tiny, config))
    bundle.verify()
    variants = {v.name: v for v in bundle.manifest.variants if v.engine == "tensorrt"}
    assert {name: v.form for name, v in variants.items()} == {
        "tensorrt-fp16": "host",
        "tensorrt-fp16-fused": "fused",
        "tensorrt-fp16-unrolled": "unrolled",
    }
    host, fused, unrolled = variants.values()
    assert fused.components["decoder"] == host.components["decoder"]
    assert fused.components["fused_step"].file == "tensorrt/fp16-fused/fused_step.engine"
    assert unrolled.components.keys() == {"text_encoder", "unrolled"}
    assert unrolled.loop.step_table in bundle.manifest.step_tables
    for variant in variants.values():
        assert variant.engines.keys() == variant.components.keys()
        assert variant.verification

"""The zoo model as engines, by the command's own function."""

from pathlib import Path

import pytest

from fewstep.bundle import Bundle
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export

pytest.importorskip("tensorrt_rtx", reason="the extra [tensorrt] is not installed")


@pytest.mark.slow
def test_the_zoo_model_becomes_engines(tmp_path: Path) -> None:
    config = ExportConfig("emoji-128", tmp_path / "x.fewstep", ("tensorrt",), ("fp16", "int8", "fp8"))
    manifest = Bundle.open(export(config)).manifest
    psnr = {v.precision: v.verification["pictures_emulated"].psnr or 0 for v in manifest.variants}
    assert psnr["fp16"] > 45 and psnr["int8"] > 20  # measured: 52.2 and 24.9 dB
    print(psnr)
    half, eight = (
        manifest.bytes_of(v.components["denoiser"]) for v in (manifest.variants[0], manifest.variants[1])
    )
    assert eight < half

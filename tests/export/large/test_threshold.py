import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fewstep_export.config import ExportConfig
from fewstep_export.large.config import Large
from fewstep_export.large.threshold import component_bytes, is_large

Checkpoint = Callable[[str], Path]


def config(source: Path | str, threshold: float) -> ExportConfig:
    return ExportConfig(str(source), Path("x.fewstep"), large=Large(threshold))


def test_the_largest_component_decides(checkpoint: Checkpoint) -> None:
    sizes = component_bytes(checkpoint("sd3"))
    assert set(sizes) == {"text_encoder", "denoiser", "decoder"}
    largest = max(sizes.values())
    assert is_large(config(checkpoint("sd3"), largest / 1e9 * 0.99))
    assert not is_large(config(checkpoint("sd3"), largest / 1e9))
    assert not is_large(config(checkpoint("sd3"), 1.0))
    assert is_large(config(checkpoint("sd3"), 0.0))


def test_text_encoders_are_one_component(checkpoint: Checkpoint) -> None:
    files = checkpoint("sdxl").glob("text_encoder*/model.safetensors")
    assert component_bytes(checkpoint("sdxl"))["text_encoder"] == pytest.approx(
        sum(file.stat().st_size for file in files), rel=0.2
    )


def test_only_diffusers_folders_are_meant(tmp_path: Path) -> None:
    assert not is_large(config("emoji-128", 0.0))
    (tmp_path / "model.json").write_text(json.dumps({}))
    assert not is_large(config(tmp_path, 0.0))

"""A checkpoint that changes while it is exported gives no bundle."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export_generator
from fewstep_export.source_watch import blaming, watch


@pytest.fixture
def config(tmp_path: Path) -> ExportConfig:
    (tmp_path / "model" / "unet").mkdir(parents=True)
    (tmp_path / "model" / "unet" / "weights.safetensors").write_bytes(b"1234")
    return ExportConfig(str(tmp_path / "model"), tmp_path / "x.fewstep")


def rewrite(path: Path) -> None:
    path.write_bytes(b"5678")
    os.utime(path, ns=(1, 2))


def exchange(path: Path) -> None:
    """Another file of the same size and time."""
    other = path.with_suffix(".new")
    other.write_bytes(b"5678")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


def add(path: Path) -> None:
    path.with_name("more.json").write_text("{}")


@pytest.mark.parametrize("change", [rewrite, exchange, Path.unlink, add])
def test_any_change_is_noticed(config: ExportConfig, change: Callable[[Path], None]) -> None:
    require_unchanged = watch(config)
    require_unchanged()
    change(Path(config.source) / "unet" / "weights.safetensors")
    with pytest.raises(FewstepError, match=r"expected the checkpoint to stay as it was .*unet.* changed"):
        require_unchanged()


def test_what_goes_wrong_after_a_change_is_told_as_the_change(config: ExportConfig) -> None:
    """Weights are mapped: rewritten in place they are others for torch than they were for the graph."""
    require_unchanged = watch(config)
    with pytest.raises(FewstepError, match="within 1e-04 of torch"), blaming(require_unchanged):
        raise FewstepError("expected denoiser within 1e-04 of torch")
    rewrite(Path(config.source) / "unet" / "weights.safetensors")
    with (
        pytest.raises(FewstepError, match=r"expected the checkpoint to stay .*unet.* changed"),
        blaming(require_unchanged),
    ):
        raise FewstepError("expected denoiser within 1e-04 of torch")
    with pytest.raises(KeyboardInterrupt), blaming(require_unchanged):
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["x.fewstep/manifest.json", ".x.fewstep.123.partial/manifest.json"])
def test_a_bundle_may_lie_within_its_source(config: ExportConfig, name: str) -> None:
    inside = ExportConfig(config.source, Path(config.source) / "x.fewstep")
    require_unchanged = watch(inside)
    (inside.output.parent / name).parent.mkdir()
    (inside.output.parent / name).write_text("{}")
    require_unchanged()
    (inside.output.parent / "more.json").write_text("{}")
    with pytest.raises(FewstepError, match=r"more\.json changed"):
        require_unchanged()


@pytest.mark.slow
def test_the_bundle_before_stays(tiny: Generator, config: ExportConfig) -> None:
    export_generator(tiny, config)
    before = Bundle.open(config.output).manifest
    require_unchanged = watch(config)

    def on_progress(what: str, _done: int, _total: int) -> None:
        if what == "drawing with torch":
            rewrite(Path(config.source) / "unet" / "weights.safetensors")

    other = ExportConfig(config.source, config.output, steps=2)
    with pytest.raises(FewstepError, match="expected the checkpoint to stay as it was"):
        export_generator(tiny, other, on_progress, require_unchanged)
    assert Bundle.open(config.output).manifest == before
    assert [path.name for path in config.output.parent.iterdir() if path.name != "model"] == ["x.fewstep"]


def test_a_zoo_name_is_watched_too(tmp_path: Path) -> None:
    watch(ExportConfig("emoji-128", tmp_path / "x.fewstep"))()

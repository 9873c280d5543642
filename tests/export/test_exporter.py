"""`fewstep export` as a whole: the bundle, its bytes, what it refuses and what a full disk leaves."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.pipeline import Pipeline
from fewstep_export.checkpoints import load_generator
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export, export_generator
from fewstep_export.fixed_inputs import prompts_of
from fewstep_export.picture_loop import MINIMUM_PSNR, PictureTask, draw_bundle, draw_torch, psnr


def test_every_file_is_listed_and_every_variant_verified(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    assert opened.verify() == 12
    assert [variant.name for variant in opened.manifest.variants] == ["fp32", "fp32-ort", "fp16"]
    for variant in opened.manifest.variants:
        for name in ("text_encoder", "denoiser", "decoder"):
            check = variant.verification[name]
            assert 0 < check.max_abs_error <= check.tolerance
        assert (variant.verification["pictures"].psnr or 0) >= MINIMUM_PSNR
    assert (opened.manifest.variant("fp16").verification["pictures_emulated"].psnr or 0) >= MINIMUM_PSNR


def test_the_manifest_holds_the_facts_of_the_checkpoint(bundle: Path, tiny: Generator) -> None:
    manifest = Bundle.open(bundle).manifest
    assert manifest.default_step_table == "flow-dpm++2m-4"
    assert sorted(manifest.step_tables) == ["flow-dpm++2m-4", "flow-euler-4"]
    assert manifest.latent.scale == tiny.latent.scale
    assert manifest.guidance.scale == tiny.guidance.scale
    assert manifest.prompts.examples == tiny.prompts.examples
    assert manifest.variant("fp32").components["denoiser"].inputs[1].shape == ("batch",)


def test_no_path_of_this_machine_is_in_the_bundle(bundle: Path) -> None:
    home = str(Path(__file__).parents[2]).encode()
    for path in bundle.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert home not in content and str(bundle.parent).encode() not in content, path


@pytest.mark.parametrize("mode", ["batched", "sequential"])
def test_guided_pictures_of_the_bundle_are_those_of_torch(bundle: Path, tiny: Generator, mode: str) -> None:
    manifest = Bundle.open(bundle).manifest
    task = PictureTask(prompts_of(tiny), manifest.step_tables["flow-euler-4"], guidance=5.0)
    pipeline = Pipeline(bundle, "fp32", guidance_mode=mode)  # type: ignore[arg-type]
    expected = draw_torch(tiny, task)
    assert psnr(draw_bundle(pipeline, task), expected) > 100
    unguided = draw_torch(tiny, PictureTask(task.prompts, task.table, guidance=1.0))
    assert psnr(unguided, expected) < 60  # or guidance would not have been tested


def test_two_prompts_in_one_batch_are_the_pictures_of_two_calls(bundle: Path, tiny: Generator) -> None:
    table = Bundle.open(bundle).step_table()
    task = PictureTask(prompts_of(tiny), table, guidance=3.0)
    together = Pipeline(bundle).generate_array(task.prompts, task.seeds, table, task.guidance)
    np.testing.assert_allclose(together, draw_torch(tiny, task), atol=2e-5)


@pytest.mark.slow
def test_two_exports_give_the_same_bytes(bundle: Path, tiny: Generator, tmp_path: Path) -> None:
    again = export_generator(
        tiny, ExportConfig("tiny", tmp_path / "tiny.fewstep", precisions=("fp16", "fp32"))
    )
    first, second = (Bundle.open(path).manifest for path in (bundle, again))
    assert first.files.keys() == second.files.keys()
    changed = [name for name in first.files if first.files[name] != second.files[name]]
    assert all(name.endswith(".ort") for name in changed)  # the order of a hash map of ONNX Runtime
    assert first.variant("fp16") == second.variant("fp16")


def test_the_same_export_again_keeps_the_bundle(bundle: Path, tiny: Generator) -> None:
    before = (bundle / "manifest.json").stat().st_mtime_ns
    stages: list[str] = []
    export_generator(tiny, ExportConfig("tiny", bundle), lambda what, _done, _total: stages.append(what))
    assert (bundle / "manifest.json").stat().st_mtime_ns == before
    assert stages == []


@pytest.mark.slow
def test_other_options_replace_the_bundle(tiny: Generator, tmp_path: Path) -> None:
    config = ExportConfig(
        "tiny", tmp_path / "tiny.fewstep", precisions=("fp16",), steps=2, sampler="flow-euler", guidance=2.0
    )
    stages: list[tuple[int, int]] = []
    config.output.mkdir()
    path = export_generator(tiny, config, lambda _what, done, total: stages.append((done, total)))
    manifest = Bundle.open(path).manifest
    assert [variant.name for variant in manifest.variants] == ["fp16"]
    assert (manifest.default_step_table, manifest.guidance.scale) == ("flow-euler-2", 2.0)
    assert stages == [(i, len(stages)) for i in range(len(stages))]
    export_generator(tiny, ExportConfig("tiny", path, precisions=("fp16",), steps=3))
    assert Bundle.open(path).manifest.default_step_table == "flow-dpm++2m-3"
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.fewstep"]


def test_unknown_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        FewstepError, match=r"expected a zoo name .* found nothing by that name: 'no-such-model'"
    ):
        load_generator(ExportConfig("no-such-model", tmp_path / "x.fewstep"))
    with pytest.raises(FewstepError, match=r"a folder without model\.json"):
        export(ExportConfig(str(tmp_path), tmp_path / "x.fewstep"))
    assert list(tmp_path.iterdir()) == []


_FULL_DISK = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from conftest import build_native, save_tokenizer, tiny_checkpoint, tiny_text_encoder
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export_generator
import resource
folder = Path({folder!r})
generator = build_native(tiny_checkpoint(), "0" * 64, tiny_text_encoder(), save_tokenizer(folder / "tokenizer.json"))
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
try:
    export_generator(generator, ExportConfig("tiny", folder / "tiny.fewstep", precisions=("fp32",)))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "error"),
    [
        (100_000, "OSError"),
        (780_000, "FewstepError expected .ort files"),
    ],  # the first .onnx, the largest .ort
)
def test_a_full_disk_leaves_nothing(limit: int, error: str, tmp_path: Path) -> None:
    code = _FULL_DISK.format(path=[str(Path(__file__).parent), *sys.path], folder=str(tmp_path), limit=limit)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(error)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]

"""What `fewstep package --app web` writes, and what it refuses."""

import gzip
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fewstep.bundle import Bundle
from fewstep.cli import build_app
from fewstep.errors import FewstepError, IntegrityError
from fewstep_apps.config import PackageConfig
from fewstep_apps.variants import BROWSER, chosen
from fewstep_apps.web.package import package_web
from fewstep_apps.web.parts import PART, cut


@pytest.fixture
def own_bundle(app_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(app_bundle, tmp_path / "own.fewstep"))


def test_the_parts_of_every_file_are_that_file(package: Path, app_bundle: Path) -> None:
    app, manifest = json.loads((package / "app.json").read_text()), Bundle.open(app_bundle).manifest
    for name, file in app["files"].items():
        content = b"".join(gzip.decompress((package / part["path"]).read_bytes()) for part in file["parts"])
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        if not name.startswith("ort/ort-"):
            assert file["sha256"] == manifest.files[name].sha256
    assert {"tokenizer.json", "ort/fp32/denoiser.onnx", "ort/int8/denoiser.onnx"} <= app["files"].keys()


def test_a_large_file_is_cut(tmp_path: Path) -> None:
    content = bytes(range(256)) * (PART // 256) + b"more"
    file = cut(content, tmp_path)
    assert [len(gzip.decompress((tmp_path / part.path).read_bytes())) for part in file.parts] == [PART, 4]
    assert file == cut(content, tmp_path)


def test_everything_that_the_service_worker_keeps_is_there(package: Path) -> None:
    app = json.loads((package / "app.json").read_text())
    assert app["shell"][0] == "./" and {"index.html", "licences.html", "bundle/manifest.json"} <= set(
        app["shell"]
    )
    assert all((package / path).exists() for path in app["shell"])
    assert app["version"] in (package / "sw.js").read_text()


def test_title_and_licences_are_shown(package: Path) -> None:
    assert json.loads((package / "app.webmanifest").read_text())["name"] == "Tiny stickers"
    page = (package / "licences.html").read_text()
    assert "the fewstep tests" in page and "ONNX Runtime" in page


def test_without_a_name_the_smallest_build_is_taken(app_bundle: Path) -> None:
    assert [variant.name for variant in chosen(Bundle.open(app_bundle), (), BROWSER)] == ["int8"]


def test_the_command_says_how_much_a_first_visit_loads(
    app_bundle: Path, built_site: Path, tmp_path: Path
) -> None:
    output = tmp_path / "site"
    result = CliRunner().invoke(build_app(), ["package", str(app_bundle), "--app", "web", "-o", str(output)])
    assert result.exit_code == 0 and "a first visit loads" in result.stderr
    # The smallest build, and that in FP16, which is tried where WebGPU is.
    assert json.loads((output / "app.json").read_text())["variants"] == ["int8", "fp16"]


def test_bad_input_is_named(own_bundle: Path, built_site: Path, tmp_path: Path) -> None:
    config = PackageConfig(own_bundle, "web", tmp_path / "site")
    with pytest.raises(FewstepError, match="expected a variant that a browser can run, found ort files"):
        package_web(replace(config, variants=("fp32-ort",)), built_site)
    with pytest.raises(FewstepError, match="run `make apps`"):
        package_web(config, tmp_path / "nothing")
    with pytest.raises(FewstepError, match="expected the app web or android or ios or jetson, found 'tv'"):
        replace(config, app="tv")  # type: ignore[arg-type]
    with pytest.raises(FewstepError, match="expected a new or an empty folder"):
        replace(config, output=own_bundle)


def test_a_changed_bundle_is_refused_and_nothing_is_left(
    own_bundle: Path, built_site: Path, tmp_path: Path
) -> None:
    graph = own_bundle / "ort" / "int8" / "decoder.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    (tmp_path / "out").mkdir()
    with pytest.raises(IntegrityError, match="the file was changed"):
        package_web(PackageConfig(own_bundle, "web", tmp_path / "out" / "site"), built_site)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_tokenizer_that_the_app_does_not_know_is_refused(own_bundle: Path) -> None:
    path = own_bundle / "tokenizer.json"
    content = json.loads(path.read_text())
    content["pre_tokenizer"] = {"type": "Whitespace"}
    path.write_text(json.dumps(content))
    manifest = json.loads((own_bundle / "manifest.json").read_text())
    record = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
    manifest["files"]["tokenizer.json"] = record
    (own_bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FewstepError, match="found the pre_tokenizer Whitespace"):
        chosen(Bundle.open(own_bundle), (), BROWSER)

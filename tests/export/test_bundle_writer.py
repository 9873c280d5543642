"""The folder appears whole or not at all."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.manifest import Licence
from fewstep_export import bundle_writer
from fewstep_export.bundle_writer import file_records, licences_text, reusable, staged_folder, write_manifest


def test_the_folder_appears_at_the_end(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "x.fewstep"
    with staged_folder(output) as root:
        (root / "a").write_text("new")
        assert not output.exists() and root.parent == output.parent
    assert [path.name for path in output.parent.iterdir()] == ["x.fewstep"]
    assert (output / "a").read_text() == "new"


@pytest.mark.parametrize("exchange", [True, False])
def test_an_older_bundle_is_replaced_as_a_whole(
    exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(
            bundle_writer, "_exchange", lambda _a, _b: False
        )  # what macOS and old kernels have
    output = tmp_path / "x.fewstep"
    output.mkdir()
    (output / "manifest.json").write_text("{}")
    with staged_folder(output) as root:
        (root / "a").write_text("new")
    assert [path.name for path in output.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.fewstep"]


def test_a_failure_keeps_the_older_bundle_and_leaves_nothing(tmp_path: Path) -> None:
    output = tmp_path / "x.fewstep"
    output.mkdir()
    (output / "manifest.json").write_text("{}")

    def fail() -> None:
        with staged_folder(output) as root:
            (root / "a").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == ["x.fewstep", "manifest.json"]


def test_what_is_wrong_at_the_last_moment_keeps_the_older_bundle(tmp_path: Path) -> None:
    output = tmp_path / "x.fewstep"
    output.mkdir()
    (output / "manifest.json").write_text("{}")

    def refuse() -> None:
        raise FewstepError("changed")

    with pytest.raises(FewstepError, match="changed"), staged_folder(output, refuse) as root:
        (root / "a").write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["x.fewstep", "manifest.json"]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_nothing_but_a_bundle_is_replaced(kind: str, tmp_path: Path) -> None:
    output = tmp_path / "precious"
    if kind == "file":
        output.write_text("mine")
    elif kind == "folder":
        output.mkdir()
        (output / "thesis.tex").write_text("mine")
    else:
        output.symlink_to(tmp_path)
    with (
        pytest.raises(
            FewstepError, match=r"expected a bundle or nothing, found something else, at .*precious"
        ),
        staged_folder(output),
    ):
        pass
    assert output.exists()


def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from fewstep_export.bundle_writer import staged_folder\n"
        f"with staged_folder(Path({str(tmp_path / 'x.fewstep')!r})) as root:\n"
        "    (root / 'half').write_text('written'); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "ready\n"
        with staged_folder(tmp_path / "other.fewstep"):
            pass
        with staged_folder(tmp_path / "x.fewstep"):
            assert len(list(tmp_path.glob(".x.fewstep.*"))) == 2  # a run that lives keeps its folder
        process.send_signal(signal.SIGKILL)
        process.wait()
    (tmp_path / "x.fewstep").rmdir()
    assert [path.name for path in tmp_path.glob(".*")] == [f".x.fewstep.{process.pid}.partial"]
    with staged_folder(tmp_path / "x.fewstep"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.fewstep", "x.fewstep"]


def test_file_records_leave_the_manifest_out(tmp_path: Path) -> None:
    for name, content in (("b", "1"), ("ort/a", "22"), ("manifest.json", "{}")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    records = file_records(tmp_path)
    assert {name: record.bytes for name, record in records.items()} == {"b": 1, "ort/a": 2}
    assert records["b"].sha256 == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"


def test_only_a_whole_bundle_of_the_same_provenance_is_reusable(bundle: Path, tmp_path: Path) -> None:
    provenance = Bundle.open(bundle).manifest.provenance
    assert reusable(bundle, provenance)
    assert not reusable(bundle, replace(provenance, options={**provenance.options, "steps": 5}))
    assert not reusable(bundle, replace(provenance, checkpoint_sha256="1" * 64))
    assert not reusable(tmp_path, provenance)


def test_the_manifest_that_is_written_is_the_one_that_is_read(bundle: Path, tmp_path: Path) -> None:
    manifest = Bundle.open(bundle).manifest
    write_manifest(tmp_path, manifest)
    assert Bundle.open(tmp_path).manifest == manifest
    assert (tmp_path / "manifest.json").read_bytes() == (bundle / "manifest.json").read_bytes()


def test_licences_are_a_table() -> None:
    text = licences_text("x", [Licence("pictures", "CC-BY-4.0", "someone")])
    assert text.startswith("# Licences of x\n") and "| pictures | CC-BY-4.0 | someone |\n" in text

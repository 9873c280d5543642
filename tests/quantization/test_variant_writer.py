"""One writer of a bundle at a time, none that builds on what is no longer there, and nothing half-written."""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep_quantization.variant_writer import commit, draft


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy.fewstep"))


def test_a_second_writer_is_refused_and_an_old_view_too(copy: Path) -> None:
    opened = Bundle.open(copy)
    variant = opened.manifest.variant("fp32")
    graphs = {"decoder": onnx.load(copy / variant.components["decoder"].file)}
    first, second = (replace(variant, name=name) for name in ("first", "second"))
    with draft(opened, first, graphs) as drafted:
        with (
            pytest.raises(FewstepError, match="expected nobody else to write"),
            draft(opened, second, graphs),
        ):
            pass
        commit(drafted, drafted.variant())
    assert [v.name for v in Bundle.open(copy).manifest.variants][-1] == "first"
    with (
        pytest.raises(FewstepError, match="expected the bundle as it was when it was opened"),
        draft(opened, second, graphs),
    ):
        pass
    again = Bundle.open(copy)
    with draft(again, second, graphs) as drafted:
        commit(drafted, drafted.variant())
    names = [v.name for v in Bundle.open(copy).manifest.variants]
    assert names[-2:] == ["first", "second"] and Bundle.open(copy).verify()
    assert [path.name for path in copy.parent.iterdir()] == ["copy.fewstep"]


def _contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("end", ["not taken", "raises", "killed"])
def test_a_draft_that_is_not_taken_leaves_the_bundle_as_it_was(copy: Path, end: str) -> None:
    opened, before = Bundle.open(copy), _contents(copy)
    variant = opened.manifest.variant("fp32")
    graphs = {"decoder": onnx.load(copy / variant.components["decoder"].file)}

    def write(stop: Callable[[], None]) -> None:
        with draft(opened, replace(variant, name="new"), graphs) as drafted:
            assert drafted.bundle.graph(drafted.variant().components["decoder"])
            stop()

    def refuse() -> None:
        raise FewstepError("gate")

    if end == "not taken":
        write(lambda: None)
    elif end == "raises":
        with pytest.raises(FewstepError, match="gate"):
            write(refuse)
    else:
        child = os.fork()
        if child == 0:
            try:
                write(lambda: os.kill(os.getpid(), signal.SIGKILL))
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert _contents(copy) == before and Bundle.open(copy).verify()
    with draft(opened, replace(variant, name="new"), graphs) as drafted:
        commit(drafted, drafted.variant())
    assert Bundle.open(copy).verify()
    assert [path.name for path in copy.parent.iterdir()] == ["copy.fewstep"]


def test_what_stays_is_not_written_again_and_what_goes_is_gone(copy: Path) -> None:
    (copy / "ort/junk").mkdir()
    (copy / "ort/junk/left.onnx").write_text("by a run of an older version that was killed")
    kept = (copy / "tokenizer.json").stat().st_ino
    graphs = {"decoder": onnx.load(copy / "ort/fp32/decoder.onnx")}
    files = []
    for _ in range(2):
        opened = Bundle.open(copy)
        with draft(opened, replace(opened.manifest.variant("fp32"), name="new"), graphs) as drafted:
            commit(drafted, drafted.variant())
        assert Bundle.open(copy).verify()
        files.append(Bundle.open(copy).manifest.variant("new").components["decoder"].file)
    assert files == ["ort/new/decoder.onnx", "ort/new.2/decoder.onnx"]
    assert (copy / "tokenizer.json").stat().st_ino == kept
    assert not (copy / "ort/junk").exists() and not (copy / "ort/new").exists()


def test_where_the_disk_has_no_links_files_are_copied(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    opened = Bundle.open(copy)
    with draft(opened, replace(opened.manifest.variant("fp32"), name="new"), {}) as drafted:
        commit(drafted, drafted.variant())
    assert Bundle.open(copy).verify()

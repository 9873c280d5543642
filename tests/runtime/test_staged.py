"""The folder appears whole or not at all."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fewstep import staged
from fewstep.errors import FewstepError
from fewstep.staged import staged_folder


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
            staged, "_exchange", lambda _a, _b: False
        )  # as on Windows, and on disks that cannot
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
        "import sys, time; from pathlib import Path; from fewstep.staged import staged_folder\n"
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


@pytest.mark.skipif(sys.platform != "linux", reason="the exchange of Linux")
def test_folders_change_places_in_one_step(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert staged._exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "b").exists() and (tmp_path / "b" / "a").exists()
    assert not staged._exchange(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize("name", ["x.fewstep", "x[1].fewstep"])
def test_a_run_that_was_killed_between_two_steps_gives_the_older_bundle_back(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system cannot exchange folders: the old one is away, and the new one not there yet."""
    monkeypatch.setattr(staged, "_exchange", lambda _a, _b: False)
    output = tmp_path / name
    output.mkdir()
    (output / "manifest.json").write_text("old")
    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(Path, "rename", _second_kills(Path.rename))
            with staged_folder(output) as root:
                (root / "manifest.json").write_text("new")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not output.exists()
    with pytest.raises(KeyboardInterrupt), staged_folder(output):
        raise KeyboardInterrupt
    assert (output / "manifest.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def _second_kills(rename: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    calls = []

    def killed(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(path, target)

    return killed

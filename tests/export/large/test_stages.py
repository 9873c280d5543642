import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from fewstep_export.large.stages import DONE, Stages

FACTS = {"options": {"steps": 4}, "sha256": "ab"}


def fill(folder: Path) -> None:
    (folder / "graph.onnx").write_bytes(b"graph")
    (folder / "graph.onnx.data").write_bytes(b"weights")


def fill_and_die(folder: Path) -> None:
    (folder / "graph.onnx").write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)


def run_and_die(root: Path) -> None:
    Stages(root).run("export", FACTS, fill_and_die)


def never(_folder: Path) -> None:
    pytest.fail("a finished stage was run again")


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    stages = Stages(tmp_path)
    folder, reused = stages.run("export", FACTS, fill)
    assert not reused
    assert stages.run("export", {"sha256": "ab", "options": {"steps": 4}}, never) == (folder, True)


@pytest.mark.parametrize(
    "facts", [{"options": {"steps": 5}, "sha256": "ab"}, {"options": {"steps": 4}, "sha256": "ac"}]
)
def test_other_options_or_inputs_run_it_again(tmp_path: Path, facts: dict[str, object]) -> None:
    stages = Stages(tmp_path)
    first, _ = stages.run("export", FACTS, fill)
    second, reused = stages.run("export", facts, fill)
    assert not reused
    assert first != second


@pytest.mark.parametrize("name", ["graph.onnx", "graph.onnx.data", DONE])
@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_changed_or_missing_file_runs_it_again(tmp_path: Path, name: str, damage: str) -> None:
    stages = Stages(tmp_path)
    folder, _ = stages.run("export", FACTS, fill)
    if damage == "change":
        (folder / name).write_bytes(b"{}")
    else:
        (folder / name).unlink()
    assert stages.run("export", FACTS, fill) == (folder, False)
    assert (folder / "graph.onnx").read_bytes() == b"graph"


def test_a_stage_whose_process_was_killed_is_run_again_from_the_start(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=run_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    folder, reused = Stages(tmp_path).run("export", FACTS, fill)
    assert not reused
    assert (folder / "graph.onnx").read_bytes() == b"graph"


def test_clearing_leaves_nothing(tmp_path: Path) -> None:
    stages = Stages.of(tmp_path / "x.fewstep")
    stages.run("export", FACTS, fill)
    stages.clear()
    assert list(tmp_path.iterdir()) == []

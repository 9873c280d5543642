"""A benchmark over ssh against a real server: how it ends well, and how it ends otherwise, always without debris."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fewstep.bench.config import BenchConfig
from fewstep.bench.report import Report
from fewstep.bundle import Bundle
from fewstep.devices.remote_bench import Patience, bench_on, bundle_items
from fewstep.devices.transfer import Item
from fewstep.errors import FewstepError

Boards = Callable[..., Any]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
QUICK = Patience(pauses=(0.2,), grace=1.5)


def config(bundle: Path) -> BenchConfig:
    return BenchConfig(bundle, ("fp32",), threads=1, runs=1, warmup=0, steps=1, sampler="flow-euler")


def nothing_left(board: Any, seconds: float = 60.0) -> bool:
    """Whether the board's home is empty, now or soon: guards take their time of grace."""
    end = time.monotonic() + seconds
    while (left := board.leftovers()) and time.monotonic() < end:
        time.sleep(0.1)
    return not left


def test_the_report_of_the_board_comes_back_and_nothing_stays(
    boards: Boards, tiny_bundle: Path, tmp_path: Path, fewstep_command: Command
) -> None:
    board = boards()
    file = tmp_path / "board.json"
    options = [
        "--variant",
        "fp32",
        "--runs",
        "2",
        "--warmup",
        "0",
        "--threads",
        "1",
        "--steps",
        "2",
        "--sampler",
        "flow-euler",
    ]
    remote = ("--device", board.url, "--ssh-config", board.remote.configuration)
    done = fewstep_command("bench", tiny_bundle, *options, *remote, "--json", file)
    assert done.returncode == 0, done.stderr
    report = Report.from_dict(json.loads(file.read_text()))
    assert [v.name for v in report.variants] == ["fp32"]
    assert report.settings.step_table == "flow-euler-2"
    assert len(report.variants[0].generation.samples) == 2
    assert board.url not in file.read_text() and "127.0.0.1" not in file.read_text()
    assert nothing_left(board), board.leftovers()


def test_a_transfer_goes_on_where_the_connection_broke(boards: Boards, big_bundle: Path) -> None:
    board = boards()
    stages: list[tuple[str, float]] = []

    def on_stage(what: str, done: int, total: int) -> None:
        if not total or stages[-1][0] != what:
            stages.append((what, done / (total or 1)))
        if what == "copying" and done > total * 0.6 and len(stages) == 2:
            time.sleep(0.5)  # so that the far side has written something
            board.cut()

    report = bench_on(board.remote, config(big_bundle), on_stage, QUICK)
    assert report.variants[0].name == "fp32"
    names, parts = zip(*stages, strict=True)
    assert names[1:4] == ("copying", "the connection was lost; trying again", "copying")
    assert parts[1] < 0.1 and parts[3] > 0.3  # not from the beginning
    assert nothing_left(board), board.leftovers()


def test_a_connection_that_does_not_come_back_ends_clearly(boards: Boards, big_bundle: Path) -> None:
    board = boards()

    def on_stage(what: str, done: int, total: int) -> None:
        if what == "copying" and done > total // 2:
            board.stop()

    with pytest.raises(FewstepError, match=r"expected an ssh server, found none, at ssh://.*127\.0\.0\.1"):
        bench_on(board.remote, config(big_bundle), on_stage, QUICK)
    assert nothing_left(board), board.leftovers()


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk can be mounted by root alone")
def test_a_full_disk_ends_clearly(boards: Boards, big_bundle: Path, fewstep_command: Command) -> None:
    board = boards(before="mount -t tmpfs -o size=1m tmpfs {home}")
    remote = ("--device", board.url, "--ssh-config", board.remote.configuration)
    done = fewstep_command("bench", big_bundle, *remote)
    assert done.returncode == 2
    assert "expected room on the board's disk, found it full" in done.stderr
    there = board.remote.run(["sh", "-c", "ls -A ~"])
    assert there.stdout == ""


def test_another_host_key_is_refused_before_anything_is_sent(
    boards: Boards, tiny_bundle: Path, fewstep_command: Command
) -> None:
    board, other = boards(), boards()
    known = board.remote.configuration.parent / "known_hosts"
    known.write_text(
        known.read_text().replace(
            *(
                b.remote.configuration.parent.joinpath("host.pub").read_text().split()[1]
                for b in (board, other)
            )
        )
    )
    remote = ("--device", board.url, "--ssh-config", board.remote.configuration)
    done = fewstep_command("bench", tiny_bundle, *remote)
    assert done.returncode == 2
    assert "expected the host key that known_hosts has" in done.stderr
    known.write_text("")
    done = fewstep_command("bench", tiny_bundle, *remote)
    assert done.returncode == 2
    assert "expected a host key that known_hosts has, found none" in done.stderr
    assert nothing_left(board), board.leftovers()


def test_a_board_without_python_is_told(
    boards: Boards, tiny_bundle: Path, fewstep_command: Command, tmp_path: Path
) -> None:
    board = boards(path=str(tmp_path))
    remote = ("--device", board.url, "--ssh-config", board.remote.configuration)
    done = fewstep_command("bench", tiny_bundle, *remote)
    assert done.returncode == 2
    assert "expected Python 3.11 or newer, found none" in done.stderr
    assert nothing_left(board), board.leftovers()


def test_a_file_that_is_not_the_manifests_is_refused(boards: Boards, bundle_copy: Path) -> None:
    board = boards()
    graph = bundle_copy / "ort/fp32/denoiser.onnx"
    content = bytearray(graph.read_bytes())
    content[100] ^= 1
    graph.write_bytes(content)
    with pytest.raises(FewstepError, match=r"expected bundle/ort/fp32/denoiser.onnx as the manifest has it"):
        bench_on(board.remote, config(bundle_copy), patience=QUICK)
    assert nothing_left(board), board.leftovers()


@pytest.mark.slow
def test_a_board_that_shall_build_engines_gets_the_graphs_that_it_needs(
    boards: Boards, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = bundle_copy / "manifest.json"
    value = json.loads(manifest.read_text())
    value["variants"][0]["precision"] = "fp16"
    manifest.write_text(json.dumps(value))
    sent: list[str] = []

    def items(bundle: Bundle, variants: Sequence[str]) -> Iterator[Item]:
        sent.extend(variants)
        return bundle_items(bundle, variants)

    monkeypatch.setattr("fewstep.devices.remote_bench.bundle_items", items)
    board, asked = boards(), replace(config(bundle_copy), variants=(), engine="tensorrt")
    # This one has no GPU for TensorRT.
    with pytest.raises(FewstepError, match=r"expected the board to do its part, found an error, .*expected"):
        bench_on(board.remote, asked, patience=QUICK)
    assert sent == [value["variants"][0]["name"]]
    assert nothing_left(board), board.leftovers()


def test_a_key_that_the_board_does_not_know_is_told(boards: Boards, tiny_bundle: Path) -> None:
    board = boards()
    (board.remote.configuration.parent / "user.pub").write_text("")
    with pytest.raises(FewstepError, match=r"expected a key that the board accepts, found none"):
        bench_on(board.remote, config(tiny_bundle), patience=QUICK)


def test_grace_outlives_the_attempts() -> None:
    with pytest.raises(FewstepError, match=r"expected a time of grace above the 9 s"):
        Patience((4.0, 5.0), 9.0)


@pytest.fixture
def big_bundle(bundle_copy: Path, resign: Callable[..., None]) -> Path:
    """The tiny bundle with 8 MB more, in a file that every variant needs."""
    tokenizer = bundle_copy / "ort/fp32/denoiser.onnx.data"
    tokenizer.write_bytes(os.urandom(8 << 20))
    resign(bundle_copy)
    return bundle_copy

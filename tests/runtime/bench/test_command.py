"""`fewstep bench` in processes of its own."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fewstep.bench.report import Report

Command = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--threads", 1, "--runs", 1, "--warmup", 0, "--steps", 2)


def test_bench_writes_json_and_html_and_a_table(
    fewstep_command: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    files = ("--json", tmp_path / "new" / "out.json", "--html", tmp_path / "out.html")
    done = fewstep_command("bench", tiny_bundle, *QUICK, *files)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    for words in ("prompt to picture", "outside the graphs", "fp32-ort"):
        assert words in done.stderr
    report = Report.from_dict(json.loads((tmp_path / "new" / "out.json").read_text()))
    assert report.command == "fewstep bench tiny.fewstep --threads 1 --runs 1 --warmup 0 --steps 2 --seed 0"
    assert (tmp_path / "out.html").read_text().endswith("</html>\n")


def test_json_goes_to_standard_output_alone(fewstep_command: Command, tiny_bundle: Path) -> None:
    done = fewstep_command("bench", tiny_bundle, "--variant", "fp32-ort", *QUICK, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert [v.name for v in Report.from_dict(json.loads(done.stdout)).variants] == ["fp32-ort"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--runs", 0], "expected at least 1 run, found 0"),
        (["--variant", "int4"], "expected one of the variants fp32, fp32-ort, found 'int4'"),
        (["--sampler", "no-such"], "found 'no-such'"),
        (["--timeout", 0.01], "expected a first picture within 0.01 s, found none, for variant 'fp32'"),
        (["--html", "/dev/full/x.html"], "Not a directory: /dev/full/x.html"),
        (["--html", "/"], "Is a directory: /"),
        (["--seed", -1], "expected a seed from 0 to 2^64 - 1, found -1"),
    ],
)
def test_bench_refuses_in_one_sentence(
    fewstep_command: Command, tiny_bundle: Path, tmp_path: Path, arguments: list[object], part: str
) -> None:
    done = fewstep_command("bench", tiny_bundle, "--json", tmp_path / "out.json", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if line.strip() and "are not available" not in line]
    assert line.startswith("fewstep: ")
    assert part in line
    assert not list(tmp_path.iterdir())

"""The command, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fewstep.bundle import Bundle
from fewstep_export.cli import _report


def fewstep(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fewstep", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-model"], "found nothing by that name: 'no-such-model'"),
        (["emoji-128", "--steps", "0"], "expected at least 1 step, found 0; choose a larger --steps"),
        (
            ["emoji-128", "--precision", "fp4"],
            "expected each precision once, out of fp32, fp16, int8, fp8, w8, w4, palette6, palette4, palette-mixed, found fp4",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    result = fewstep("export", *arguments, "-o", tmp_path / "x.fewstep")
    assert result.returncode == 2
    assert result.stdout == ""
    assert sentence in result.stderr.strip().splitlines()[-1] and "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_and_registration_import_nothing_heavy() -> None:
    code = "import fewstep_export.cli, sys; print(sorted({'torch', 'onnx', 'onnxruntime', 'numpy'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
    result = fewstep("export", "--help")
    assert result.returncode == 0 and "--precision" in result.stdout


def test_the_result_can_be_read_by_machines(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _report(bundle, as_json=True)
    result = json.loads(capsys.readouterr().out)
    assert result["bundle"] == str(bundle)
    assert result["verification"]["fp16"]["pictures"]["psnr"] > 35
    _report(bundle, as_json=False)
    assert Bundle.open(bundle).manifest.name in capsys.readouterr().out

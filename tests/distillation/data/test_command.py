"""`fewstep data build emoji` as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fewstep_distillation.data.dataset import EmojiDataset


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own."""
    code = "import sys; from fewstep.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "data", "build", "emoji", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """The command failed with one sentence, on standard error alone."""
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.strip().splitlines()) == 1
    for word in words:
        assert word in result.stderr


def test_a_wrong_option_is_one_sentence(tmp_path: Path) -> None:
    refused(run("--style", "apple", "-o", tmp_path / "x"), "expected styles out of noto,", "found apple")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_registry")
def test_a_registry_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    result = run("-o", tmp_path / "x", "--cache", tmp_path / "npm")
    refused(result, "cannot download @iconify-json/noto@1.2.9 with npm (ECONNREFUSED", "run again")
    assert list(tmp_path.rglob("*")) == [tmp_path / "npm"]


def test_help_loads_nothing_heavy() -> None:
    code = """
import sys
import fewstep_distillation.data.command
assert not {"torch", "numpy", "PIL", "resvg_py"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_small_set_from_the_real_packages(tmp_path: Path) -> None:
    result = run("--glyphs", "4", "--style", "twemoji", "--style", "noto", "--json", "-o", tmp_path / "x")
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert (printed["pairs"], printed["glyphs"], printed["folder"]) == (8, 4, str(tmp_path / "x"))
    assert printed["digest"] == EmojiDataset(tmp_path / "x", verify=True).digest

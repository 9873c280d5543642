import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fewstep.errors import FewstepError
from fewstep_distillation.metrics.command import evaluate


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(evaluate)
    return made


def test_bad_input_is_one_sentence(app: typer.Typer, tmp_path: Path) -> None:
    for options, message in (
        (["--n", "0"], "at least 2 pictures"),
        (["--split", "test"], "one of the splits"),
        (["--data", str(tmp_path)], "expected a built data set"),
    ):
        result = CliRunner().invoke(app, ["nothing", *options])
        assert isinstance(result.exception, FewstepError)
        assert message in str(result.exception)


def test_the_command_is_light() -> None:
    code = (
        "import sys, fewstep_distillation.metrics.command; assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(filter(None, sys.path))}
    )

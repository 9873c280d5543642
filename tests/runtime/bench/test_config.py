"""Refused settings, and the command line that a configuration stands for."""

from pathlib import Path
from typing import Any

import pytest

from fewstep.bench.config import BenchConfig
from fewstep.errors import FewstepError


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"runs": 0}, "expected at least 1 run, found 0; choose a larger number"),
        ({"warmup": -1}, "expected at least 0 warm-up run, found -1"),
        ({"threads": 0}, "expected at least 1 thread, found 0"),
        ({"steps": 0}, "expected at least 1 step, found 0"),
        ({"guidance": float("nan")}, "expected a finite guidance scale, found nan"),
        ({"timeout": 0.0}, "expected a time-out above 0 s, found 0.0"),
        ({"variants": ("fp32", "fp32")}, "expected different variants, found fp32, fp32"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(FewstepError, match=message):
        BenchConfig(Path("x.fewstep"), **setting)


def test_the_command_names_every_setting_but_no_folder(tmp_path: Path) -> None:
    config = BenchConfig(tmp_path / "x.fewstep", ("fp32", "fp16"), threads=2, guidance=1.5)
    assert config.command() == (
        "fewstep bench x.fewstep --variant fp32 --variant fp16 --threads 2 --runs 10 --warmup 2 --guidance 1.5 --seed 0"
    )

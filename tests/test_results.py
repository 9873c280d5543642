"""Every file of benchmarks/results says how its figures were made."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
WAYS = {
    "command": {"command"},
    "date": {"date"},
    "device": {"device"},
    "threads": {"threads"},
    "versions": {"versions", "packages", "torch"},
}
# Written before their scripts said it all, as they do now; whoever makes one of them anew takes it off this list.
OLDER = {
    "backbone_scaling_cpu": {"threads"},
    "backbone_scaling_cuda": {"threads"},
    "checkpoint_matrix": {"threads"},
    "coreml": {"device", "threads", "date"},
    "coreml_coverage": {"command", "device", "threads", "date"},
    "coreml_frechet": {"command", "device", "threads"},
    "coreml_scale": {"command", "device", "threads", "date"},
    "error_against_evaluations": {"threads"},
    "export_at_scale": {"command", "device"},
    "export_at_scale_command": {"command", "device"},
    "frechet_against_evaluations": {"threads"},
    "fused_loop_cuda": {"threads"},
    "guidance-emoji-128": {"threads"},
    "students_first_runs": {"threads"},
    "students_second_runs": {"threads"},
    "tensorrt_build": {"command", "device", "threads", "versions"},
}


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(part)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_result_says_how_it_was_made(path: Path) -> None:
    keys = set(_keys(json.loads(path.read_text(encoding="utf-8"))))
    keys |= {"threads"} if "intra_op_threads" in keys else set()
    missing = {fact for fact, ways in WAYS.items() if not keys & ways}
    assert missing <= OLDER.get(path.stem, set())

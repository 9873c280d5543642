"""The fresh process: what it measures, and how it fails."""

from dataclasses import replace
from pathlib import Path

import pytest

from fewstep.bench.cold import Task, cold_start
from fewstep.errors import FewstepError


@pytest.fixture
def task(tiny_bundle: Path) -> Task:
    return Task(str(tiny_bundle), "fp32", 1, "a red heart", seed=0, steps=2)


def test_a_cold_start_has_times_and_a_peak(task: Task) -> None:
    found = cold_start(task, timeout=300)
    assert found.load > 0
    assert found.first_picture > 0
    assert found.peak_memory.method == "VmHWM of /proc/self/status"
    assert (
        20e6 < (found.peak_memory.bytes or 0) < 400e6
    )  # Python, numpy and ONNX Runtime; the graphs are tiny


def test_its_refusal_comes_back_as_the_same_sentence(task: Task) -> None:
    with pytest.raises(FewstepError, match=r"^expected one of the variants fp32, fp32-ort, found 'int4'"):
        cold_start(replace(task, variant="int4"), timeout=300)


def test_steps_and_sampler_reach_it(task: Task) -> None:
    with pytest.raises(FewstepError, match="found 'no-such'"):
        cold_start(replace(task, sampler="no-such"), timeout=300)


def test_a_process_that_takes_too_long_is_ended(task: Task) -> None:
    with pytest.raises(
        FewstepError, match=r"expected a first picture within 0\.01 s, found none, for variant 'fp32'"
    ):
        cold_start(task, timeout=0.01)

from dataclasses import replace

import pytest

from fewstep.gate import Gate
from fewstep_quantization.config import Limits
from fewstep_quantization.gate import check

MEASURED = Gate("int8", 1.5, (1.4, 1.6), 0.26, 21.0, 31.0, 0.1, 32, 2, "CPU", True, psnr_interval=(29.0, 33.0))  # fmt: skip


@pytest.mark.parametrize(("asked", "passed"), [(28.9, True), (29.1, False), (30.5, False)])
def test_the_psnr_counts_with_the_lower_end_of_its_interval(asked: float, passed: bool) -> None:
    row = next(c for c in check(MEASURED, Limits(psnr=asked)) if c.what == "mean PSNR")
    assert row.passed is passed and row.found == "31.0 dB, at least 29.0 dB"


def test_the_worst_picture_is_told_and_bounds_nothing() -> None:
    rows = {c.what: c for c in check(MEASURED, Limits(psnr=28.0))}
    assert rows["worst PSNR"].found == "21.0 dB" and all(c.passed for c in rows.values())


def test_an_older_record_without_an_interval_counts_with_its_mean() -> None:
    old = replace(MEASURED, psnr_interval=None)
    assert all(c.passed for c in check(old, Limits(psnr=31.0)))
    assert not all(c.passed for c in check(old, Limits(psnr=31.1)))

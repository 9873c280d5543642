import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep_export.picture_loop import psnr, verify_pictures

BLACK = np.zeros((2, 4, 8, 8), np.float32)


def test_psnr_is_that_of_the_worst_picture() -> None:
    found = BLACK.copy()
    found[0] += 0.01
    found[1] += 0.1
    assert psnr(found, BLACK) == pytest.approx(20.0, abs=1e-4)
    assert psnr(BLACK, BLACK) == 200.0
    assert psnr(np.full_like(BLACK, np.nan), BLACK) == 0.0


def test_35_decibels_are_asked_for() -> None:
    right, wrong = (BLACK + np.float32(10 ** (-decibels / 20)) for decibels in (35.1, 34.9))
    result = verify_pictures(right, BLACK, "fp16")
    assert result.psnr == pytest.approx(35.1, abs=1e-3) and result.max_abs_error <= result.tolerance
    with pytest.raises(
        FewstepError, match=r"expected pictures in fp16 within 35 dB PSNR of torch, found 34\.9 dB"
    ):
        verify_pictures(wrong, BLACK, "fp16")

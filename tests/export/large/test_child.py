import errno
import os
import signal

import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep_export.large.child import in_child, peak_bytes


def allocate(megabytes: int) -> int:
    return int(np.ones(megabytes * 131_072).sum())


def refuse() -> None:
    raise FewstepError("expected this, found that; do so")


def fail() -> None:
    raise ValueError("an oversight")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_gives_back_the_result_and_the_childs_own_peak() -> None:
    small, large = in_child("small", allocate, 1), in_child("large", allocate, 400)
    assert large.value == 400 * 131_072
    assert 300e6 < large.peak_bytes - small.peak_bytes < 800e6
    assert large.seconds > 0


def test_the_parents_memory_does_not_grow() -> None:
    before = peak_bytes()
    in_child("large", allocate, 400)
    assert peak_bytes() - before < 100e6


def test_errors_for_the_user_stay_errors_for_the_user() -> None:
    with pytest.raises(FewstepError, match="expected this, found that; do so"):
        in_child("work", refuse)


def test_other_errors_show_the_childs_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)work failed.*in fail.*an oversight"):
        in_child("work", fail)


def test_a_killed_child_is_reported() -> None:
    with pytest.raises(
        FewstepError, match=r"expected work to finish, found its process killed by SIGKILL; it probably"
    ):
        in_child("work", die)


def _disk_full(path: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def test_a_full_disk_in_a_child_is_one_here() -> None:
    with pytest.raises(OSError, match="No space left on device") as caught:
        in_child("work", _disk_full, "weights.data")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "weights.data")

"""Want of address space is noticed before numpy is loaded."""

import os
import resource
import subprocess
import sys

import pytest

from fewstep.address_space import NEEDED

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is heeded by Linux")


def limited(code: str, limit: int | None) -> "subprocess.CompletedProcess[str]":
    def limit_self() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, preexec_fn=limit_self, capture_output=True, text=True, check=False, env=environment
    )


WATCH = "from fewstep.address_space import watch_address_space; watch_address_space(); import os; "


def test_numpy_is_not_loaded_where_it_would_end_the_process() -> None:
    done = limited(f"{WATCH}\ntry:\n    import numpy\nexcept MemoryError:\n    print('refused')", NEEDED // 2)
    assert (done.stdout, done.returncode) == ("refused\n", 0), done.stderr


def test_with_room_it_is_loaded_with_one_thread() -> None:
    done = limited(
        f"{WATCH}import numpy; print(os.environ['OPENBLAS_NUM_THREADS'], numpy.ones(2).sum())", 4 * NEEDED
    )
    assert done.stdout == "1 2.0\n", done.stderr


def test_without_a_limit_nothing_is_changed() -> None:
    code = (
        "import sys; before = list(sys.meta_path); "
        + WATCH
        + "print(sys.meta_path == before, 'OPENBLAS_NUM_THREADS' in os.environ)"
    )
    assert limited(code, None).stdout == "True False\n"


@pytest.mark.parametrize("mebibytes", [24, 32])
def test_the_command_says_so_where_not_even_its_own_code_can_be_read(mebibytes: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fewstep", "info", "x.fewstep"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (mebibytes << 20, mebibytes << 20)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        done.returncode == 2 and done.stderr.startswith("fewstep: expected ") and done.stderr.count("\n") == 1
    ), done.stderr

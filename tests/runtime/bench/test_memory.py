"""Peak memory of fresh processes."""

import json
import subprocess
import sys

from fewstep.bench.memory import peak_memory

CHILD = """
import json
from fewstep.bench.memory import peak_memory
block = bytearray({size})
block[::4096] = b"x" * len(block[::4096])  # touch every page
del block
print(json.dumps(peak_memory().bytes))
"""


def peak_of_child(size: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(size=size)], capture_output=True, text=True, check=True
    )
    peak = json.loads(done.stdout)
    assert isinstance(peak, int)
    return peak


def test_the_peak_counts_memory_that_was_given_back_and_nothing_of_the_parent() -> None:
    ballast = bytearray(b"x" * 300_000_000)  # ru_maxrss of the child would include it
    small, large = peak_of_child(1), peak_of_child(200_000_000)
    assert len(ballast) > small > 3_000_000
    assert 190_000_000 < large - small < 280_000_000
    assert (peak_memory().bytes or 0) > len(ballast)

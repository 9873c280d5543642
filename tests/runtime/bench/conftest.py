"""One real benchmark of the tiny bundle, shared by the tests that only look at it."""

from pathlib import Path

import pytest

from fewstep.bench.config import BenchConfig
from fewstep.bench.runner import Benchmark, bench

RUNS = 3


@pytest.fixture(scope="session")
def benchmark_of_tiny(tiny_bundle: Path) -> Benchmark:
    """Every variant, four steps, one thread."""
    return bench(BenchConfig(tiny_bundle, threads=1, runs=RUNS, warmup=1))

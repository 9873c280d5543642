"""Figures for people."""

import pytest

from fewstep.bench.units import megabytes, milliseconds, percent


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0082, "8.20"), (0.066, "66.0"), (1.3584, "1358"), (0.00001234, "0.0123")]
)
def test_milliseconds(seconds: float, words: str) -> None:
    assert milliseconds(seconds) == words


def test_sizes_and_shares() -> None:
    assert (megabytes(138_690_000), megabytes(None)) == ("138.7", "unknown")
    assert percent(0.00541) == "0.54 %"

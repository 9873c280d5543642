"""Philox against the published vectors; the whole definition against a second, scalar implementation."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import FewstepError
from fewstep.noise import gaussian, philox4x32

GOLDEN = Path(__file__).parents[1] / "data" / "noise.json"

# Known-answer vectors of Random123 (Salmon et al. 2011), file kat_vectors, "philox4x32 10": counter, key, words.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_published_words(counter: str, key: str, expected: str) -> None:
    k0, k1 = words(key)
    found = philox4x32(np.array(words(counter), dtype=np.uint64)[:, None], (k0, k1))
    assert found[:, 0].tolist() == words(expected)


def scalar_gaussian(index: int, seed: int, stream: int) -> np.float32:
    """Number `index` by the docstring of fewstep.noise, in plain Python, as a port to another language would be."""
    low = 0xFFFFFFFF
    c = [(index // 4) & low, (index // 4) >> 32, stream & low, stream >> 32]
    k = [seed & low, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & low, (p0 >> 32) ^ c[3] ^ k[1], p0 & low]
        k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
    first = index % 4 // 2 * 2
    u, v = (c[first] + 1) / 2**32, (c[first + 1] + 1) / 2**32
    wave = math.sin if index % 2 else math.cos
    return np.float32(math.sqrt(-2 * math.log(u)) * wave(2 * math.pi * v))


@given(seed=st.integers(0, 2**64 - 1), stream=st.integers(0, 2**64 - 1), size=st.integers(1, 41))
def test_noise_is_what_its_docstring_defines(seed: int, stream: int, size: int) -> None:
    expected = np.array([scalar_gaussian(i, seed, stream) for i in range(size)])
    np.testing.assert_array_max_ulp(gaussian((size,), seed, stream), expected, maxulp=1)


def test_noise_equals_the_golden_file_of_all_languages() -> None:
    for case in json.loads(GOLDEN.read_text())["cases"]:
        expected = np.array(case["values"], dtype=np.float32)
        found = gaussian((len(expected),), int(case["seed"]), int(case["stream"]))
        np.testing.assert_array_max_ulp(found, expected, maxulp=1)


def test_noise_is_standard_normal_and_streams_are_independent() -> None:
    n = 200_000
    a, b = gaussian((n,), 1).astype(np.float64), gaussian((n,), 1, stream=1).astype(np.float64)
    tolerance = 5 / math.sqrt(n)
    assert abs(a.mean()) < tolerance
    assert abs(a.var() - 1) < 2 * tolerance
    assert abs((a**4).mean() - 3) < 10 * tolerance
    assert abs((a * b).mean()) < tolerance
    assert abs((a[:-1] * a[1:]).mean()) < tolerance


def test_shape_only_folds_the_same_numbers() -> None:
    np.testing.assert_array_equal(gaussian((2, 3, 5), 9).ravel(), gaussian((64,), 9)[:30])


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(FewstepError, match=r"expected a seed from 0 to 2\^64 - 1, found"):
        gaussian((1,), seed)

"""The same Gaussian noise in every language: Philox 4x32-10 and the Box-Muller transform.

This docstring is the whole definition; a port needs nothing else.

1. Philox 4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) maps
   a counter of four 32-bit words (c0, c1, c2, c3) and a key of two (k0, k1) to four 32-bit words. One round is

       c0', c1', c2', c3' = hi(M1 c2) ^ c1 ^ k0,  lo(M1 c2),  hi(M0 c0) ^ c3 ^ k1,  lo(M0 c0)

   with M0 = 0xD2511F53, M1 = 0xCD9E8D57 and hi, lo the halves of the 64-bit product. Ten rounds; between two
   rounds k0 += 0x9E3779B9 and k1 += 0xBB67AE85, modulo 2^32.
2. Key = (seed mod 2^32, seed div 2^32). Block b has the counter
   (b mod 2^32, b div 2^32, stream mod 2^32, stream div 2^32) and gives r0, r1, r2, r3.
3. A word r becomes u = (r + 1) / 2^32, which is exact in float64 and lies in (0, 1].
4. With float64 arithmetic, the pair (u, v) of words (r0, r1) gives sqrt(-2 ln u) cos(2 pi v), then
   sqrt(-2 ln u) sin(2 pi v); (r2, r3) gives the third and the fourth number in the same way.
5. Block b holds the numbers 4b to 4b + 3 of the array in C order (last index fastest); the last block is cut.
   Each number is rounded to float32 at the very end.

Steps 1 to 3 are integer arithmetic and the same everywhere. ln, cos and sin of two mathematical libraries may differ in
the last bit of the float64; the float32 is then still the same but for about one number in 10^8.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = 0xFFFFFFFF
_ROUNDS = 10

INITIAL_STREAM = 0
"""The stream of the initial latents; evaluation i of the network (from 0) draws its noise from stream i + 1."""


def philox4x32(counter: npt.NDArray[np.uint64], key: tuple[int, int]) -> npt.NDArray[np.uint64]:
    """Ten rounds of Philox on 32-bit words kept in uint64: counter (4, n) -> words (4, n)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        p0, p1 = c0 * np.uint64(_M0), c2 * np.uint64(_M1)
        c0, c1, c2, c3 = (
            (p1 >> 32) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> 32) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return np.stack([c0, c1, c2, c3])


def gaussian(shape: Sequence[int], seed: int, stream: int = 0) -> npt.NDArray[np.float32]:
    """Independent N(0, 1) numbers of the given shape, float32, that depend on (seed, stream) alone.

    The first numbers of a longer array are those of a shorter one with the same seed and stream.

    Args:
        shape: the shape of the result.
        seed: 0 <= seed < 2^64.
        stream: 0 <= stream < 2^64; other streams of one seed are independent of each other.

    Raises:
        FewstepError: the seed or the stream is out of range.
    """
    key, high = _words(seed, "seed"), _words(stream, "stream")
    size = math.prod(shape)
    block = np.arange(-(-size // 4), dtype=np.uint64)
    ones = np.ones_like(block)
    words = philox4x32(np.stack([block & _LOW, block >> 32, ones * high[0], ones * high[1]]), key)
    u = (words.astype(np.float64) + 1.0) * 2.0**-32  # (4, blocks), in (0, 1]
    radius, angle = np.sqrt(-2.0 * np.log(u[0::2])), 2.0 * np.pi * u[1::2]  # (2, blocks)
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)])  # (cos or sin, pair, blocks)
    return pairs.transpose(2, 1, 0).reshape(-1)[:size].astype(np.float32).reshape(shape)


def _words(value: int, name: str) -> tuple[int, int]:
    """The low and the high 32-bit word of an unsigned 64-bit number."""
    if not 0 <= value < 2**64:
        raise FewstepError(f"expected a {name} from 0 to 2^64 - 1, found {value}; choose another {name}")
    return value & _LOW, value >> 32

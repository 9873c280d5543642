"""The weights of a Core ML package, read without the code that wrote them.

`weight.bin` begins with 64 bytes: the number of blobs and the version 2, u32 each. At every offset that the program names stands a
record of 64 bytes: u32 0xDEADBEEF, u32 type, u64 size in bytes, u64 offset of the data, u64 padding in bits. Little-endian; values of
fewer than 8 bits are packed from the lowest bit on.
"""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError
from fewstep_export.components import Array

_MAGIC, _VERSION = 0xDEADBEEF, 2
_HEAD = struct.Struct("<II")
_RECORD = struct.Struct("<IIQQQ")
DTYPES: dict[str, npt.DTypeLike] = {
    "bool": np.bool_,
    "fp16": np.float16,
    "fp32": np.float32,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
}
PACKED = {
    "int4": (4, True),
    "uint1": (1, False),
    "uint2": (2, False),
    "uint3": (3, False),
    "uint4": (4, False),
    "uint6": (6, False),
}
"""Bits and whether they are signed, by type."""


class WeightFile:
    """The blobs of one file, which is open only while one of them is read: a mapped one keeps in memory whatever was read of it.

    Raises:
        FewstepError: the file is missing or not one of version 2.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FewstepError(f"expected a file of weights, found none, at {path}; export the bundle again")
        self._path, self._size = path, path.stat().st_size
        head = self._bytes(0, _HEAD.size)
        version = _HEAD.unpack(head)[1] if self._size >= 64 else None
        if version != _VERSION:
            raise FewstepError(f"expected version 2, found {version}, in {path}; export the bundle again")

    def blob(self, offset: int, dtype: str, count: int) -> Callable[[], Array]:
        """What reads the `count` values of the blob whose record stands at `offset`; every call reads them anew.

        Raises:
            FewstepError: the record is damaged, or its data cut off.
        """
        start, size = self.place(offset)
        wanted = (
            -(-count * PACKED[dtype][0] // 8) if dtype in PACKED else count * np.dtype(DTYPES[dtype]).itemsize
        )
        there = min(size, self._size - start)
        if there < wanted:
            raise self._damaged(f"{max(0, there)} bytes", f"{wanted} bytes at {start}")
        return lambda: unpack(self._bytes(start, wanted), dtype, count)

    def place(self, offset: int) -> tuple[int, int]:
        """Where the data of the blob begins whose record stands at `offset`, and its size in bytes.

        Raises:
            FewstepError: there is no record.
        """
        if offset + _RECORD.size > self._size:
            raise self._damaged(f"{self._size} bytes", f"a record at {offset}")
        magic, _code, size, start, _padding = _RECORD.unpack(self._bytes(offset, _RECORD.size))
        if magic != _MAGIC:
            raise self._damaged(f"{magic:#x}", f"the mark {_MAGIC:#x} at {offset}")
        return start, size

    def _bytes(self, start: int, count: int) -> bytes:
        with self._path.open("rb") as stream:
            stream.seek(start)
            return stream.read(count)

    def _damaged(self, found: str, expected: str) -> FewstepError:
        return FewstepError(f"expected {expected}, found {found}, in {self._path}; export the bundle again")


def unpack(data: bytes, dtype: str, count: int) -> Array:
    """Values of a type from their bytes, in place; packed ones become int8 or uint8."""
    if dtype not in PACKED:
        return np.frombuffer(data, DTYPES[dtype], count)
    width, signed = PACKED[dtype]
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: count * width]
    values = (bits.reshape(count, width) << np.arange(width)).sum(1)
    if signed:
        values = np.where(values >= 1 << (width - 1), values - (1 << width), values)
    return values.astype(np.int8 if signed else np.uint8)

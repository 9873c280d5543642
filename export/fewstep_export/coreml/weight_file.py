"""The weights of a Core ML package, read without the code that wrote them.

`weight.bin` begins with 64 bytes: the number of blobs and the version 2, u32 each. At every offset that the program names stands a
record of 64 bytes: u32 0xDEADBEEF, u32 type, u64 size in bytes, u64 offset of the data, u64 padding in bits. Little-endian; values of
fewer than 8 bits are packed from the lowest bit on.
"""

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fewstep.errors import FewstepError
from fewstep_export.components import Array

_MAGIC, _VERSION = 0xDEADBEEF, 2
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
    """The blobs of one file.

    Raises:
        FewstepError: the file is not one of version 2.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = memoryview(np.memmap(path, np.uint8, "r"))  # type: ignore[arg-type] # numpy does not declare it
        version = struct.unpack_from("<II", self._bytes, 0)[1] if len(self._bytes) >= 64 else None
        if version != _VERSION:
            raise FewstepError(f"expected version 2, found {version}, in {path}; export the bundle again")

    def read(self, offset: int, dtype: str, count: int) -> Array:
        """`count` values of the blob whose record stands at `offset`, in the mapped file if they are not packed.

        Raises:
            FewstepError: the record or its data is damaged or cut off.
        """
        if offset + _RECORD.size > len(self._bytes):
            raise self._damaged(f"{len(self._bytes)} bytes", f"a record at {offset}")
        magic, _code, size, start, _padding = _RECORD.unpack_from(self._bytes, offset)
        if magic != _MAGIC:
            raise self._damaged(f"{magic:#x}", f"the mark {_MAGIC:#x} at {offset}")
        data = self._bytes[
            start : start + size
        ]  # mapped, not copied: all weights are there at once only once
        wanted = (
            -(-count * PACKED[dtype][0] // 8) if dtype in PACKED else count * np.dtype(DTYPES[dtype]).itemsize
        )
        if len(data) < wanted or size < wanted:
            raise self._damaged(f"{len(data)} bytes", f"{wanted} bytes at {start}")
        return unpack(data, dtype, count)

    def place(self, offset: int) -> tuple[int, int]:
        """Where the data of the blob begins whose record stands at `offset`, and its size in bytes."""
        _magic, _code, size, start, _padding = _RECORD.unpack_from(self._bytes, offset)
        return start, size

    def _damaged(self, found: str, expected: str) -> FewstepError:
        return FewstepError(f"expected {expected}, found {found}, in {self._path}; export the bundle again")


def unpack(data: bytes | memoryview, dtype: str, count: int) -> Array:
    """Values of a type from their bytes, in place; packed ones become int8 or uint8."""
    if dtype not in PACKED:
        return np.frombuffer(data, DTYPES[dtype], count)
    width, signed = PACKED[dtype]
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: count * width]
    values = (bits.reshape(count, width) << np.arange(width)).sum(1)
    if signed:
        values = np.where(values >= 1 << (width - 1), values - (1 << width), values)
    return values.astype(np.int8 if signed else np.uint8)

"""The weight file is read as the format describes it."""

import struct
from pathlib import Path

import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep_export.coreml.weight_file import WeightFile, unpack


def _file(path: Path, data: bytes, mark: int = 0xDEADBEEF, version: int = 2) -> Path:
    header = struct.pack("<II", 1, version).ljust(64, b"\0")
    record = struct.pack("<IIQQQ", mark, 2, len(data), 128, 0).ljust(64, b"\0")
    path.write_bytes(header + record + data)
    return path


def test_values_come_back(tmp_path: Path) -> None:
    values = np.array([1.5, -2.0, 3.25], np.float32)
    assert np.array_equal(WeightFile(_file(tmp_path / "w", values.tobytes())).read(64, "fp32", 3), values)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [("uint4", [1, 15, 7]), ("int4", [-8, 7, -1]), ("uint6", [63, 0, 33]), ("uint1", [1, 0, 1])],
)
def test_packed_values_are_little_endian_bits(dtype: str, values: list[int]) -> None:
    width = int(dtype[-1])
    number = sum((value % (1 << width)) << (i * width) for i, value in enumerate(values))
    assert unpack(number.to_bytes(4, "little"), dtype, 3).tolist() == values


@pytest.mark.parametrize(
    ("offset", "mark", "version"), [(4096, 0xDEADBEEF, 2), (64, 0xDEAD, 2), (64, 0xDEADBEEF, 3)]
)
def test_damage_is_refused(offset: int, mark: int, version: int, tmp_path: Path) -> None:
    path = _file(tmp_path / "w", b"12345678", mark, version)
    with pytest.raises(FewstepError, match="export the bundle again"):
        WeightFile(path).read(offset, "fp32", 2)

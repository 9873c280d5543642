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
    assert np.array_equal(WeightFile(_file(tmp_path / "w", values.tobytes())).blob(64, "fp32", 3)(), values)


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
        WeightFile(path).blob(offset, "fp32", 2)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match=r"expected a file of weights, found none, at .*weight\.bin"):
        WeightFile(tmp_path / "weight.bin")


def test_data_that_is_cut_off_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = _file(tmp_path / "w", np.zeros(4, np.float32).tobytes())
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(FewstepError, match="expected 16 bytes at 128, found 12 bytes"):
        WeightFile(path).blob(64, "fp32", 4)


def test_values_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    path = _file(tmp_path / "w", np.zeros(2, np.float32).tobytes())
    read = WeightFile(path).blob(64, "fp32", 2)
    _file(path, np.ones(2, np.float32).tobytes())
    assert read().tolist() == [1.0, 1.0]

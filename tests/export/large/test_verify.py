import shutil
from pathlib import Path

import pytest
from tests.export.large.conftest import Folder, Written

from fewstep.errors import FewstepError
from fewstep_export.large.verify import Feeds, compare


def test_both_sides_run_in_processes_of_their_own(source: Folder, written: Written, feeds: Feeds) -> None:
    compared = compare(source, written.path, feeds, "denoiser")
    assert 0 < compared.verification.max_abs_error <= 1e-5 * compared.verification.output_scale
    assert set(compared.peak_bytes) == {"torch", "onnxruntime"}
    assert min(compared.peak_bytes.values()) > 50e6


def test_one_wrong_weight_is_noticed(source: Folder, written: Written, feeds: Feeds, tmp_path: Path) -> None:
    shutil.copytree(written.path.parent, tmp_path, dirs_exist_ok=True)
    data = tmp_path / f"{written.path.name}.data"
    content = bytearray(data.read_bytes())
    content[3] ^= 0x40  # the exponent of the first number
    data.write_bytes(content)
    with pytest.raises(FewstepError, match=r"expected denoiser within 0\.0001 of torch, found a difference"):
        compare(source, tmp_path / written.path.name, feeds, "denoiser")

from pathlib import Path

import pytest
from tests.export.large.conftest import Folder

from fewstep.errors import FewstepError
from fewstep_export.large.trace import trace
from fewstep_export.large.verify import Feeds, compare
from fewstep_export.large.writer import write


@pytest.fixture
def graph(source: Folder, tmp_path: Path) -> Path:
    network = source.network()
    write(network, trace(network), source.weights(), tmp_path / "denoiser.onnx")
    return tmp_path / "denoiser.onnx"


def test_both_sides_run_in_processes_of_their_own(source: Folder, graph: Path, feeds: Feeds) -> None:
    compared = compare(source, graph, feeds, "denoiser")
    assert 0 < compared.verification.max_abs_error <= 1e-5 * compared.verification.output_scale
    assert set(compared.peak_bytes) == {"torch", "onnxruntime"}
    assert min(compared.peak_bytes.values()) > 50e6


def test_one_wrong_weight_is_noticed(source: Folder, graph: Path, feeds: Feeds) -> None:
    data = Path(f"{graph}.data")
    content = bytearray(data.read_bytes())
    content[3] ^= 0x40  # the exponent of the first number
    data.write_bytes(content)
    with pytest.raises(FewstepError, match=r"expected denoiser within 0\.0001 of torch, found a difference"):
        compare(source, graph, feeds, "denoiser")

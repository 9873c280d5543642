from pathlib import Path

import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep_export.fixed_inputs import Cases
from fewstep_export.onnx_export import Graphs, to_bytes
from fewstep_export.ort_format import convert_folder
from fewstep_export.session import runner


def test_files_numbers_and_operators(
    graphs: Graphs, cases: Cases, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "onnx", tmp_path / "ort"
    source.mkdir()
    for name, exported in graphs.items():
        (source / f"{name}.onnx").write_bytes(to_bytes(exported.model))
    files = convert_folder(source, target)
    names = [f"{name}.ort" for name in sorted(graphs)]
    assert [file.name for file in files] == sorted([*names, "required_operators.config"])
    assert sorted(path.name for path in tmp_path.rglob("*.onnx")) == sorted(f"{name}.onnx" for name in graphs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["onnx", "ort"]
    for name in graphs:
        case = cases[name][0]
        for output, found in runner(target / f"{name}.ort")(case.feeds).items():
            np.testing.assert_allclose(found, case.expected[output], atol=1e-4)
    config = (target / "required_operators.config").read_text()
    assert "ai.onnx;11;Conv" in config and "nchwc" not in config and str(tmp_path) not in config
    assert capfd.readouterr() == ("", "")


def test_a_broken_graph_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "decoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(FewstepError, match=r"expected \.ort files in ort, found an error"):
        convert_folder(tmp_path, tmp_path / "ort")

"""One writer of a bundle at a time, and none that builds on what is no longer there."""

import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep_quantization.variant_writer import commit, draft


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy.fewstep"))


def test_a_second_writer_is_refused_and_an_old_view_too(copy: Path) -> None:
    opened = Bundle.open(copy)
    variant = opened.manifest.variant("fp32")
    graphs = {"decoder": onnx.load(copy / variant.components["decoder"].file)}
    first, second = (replace(variant, name=name) for name in ("first", "second"))
    with draft(opened, first, graphs) as drafted:
        with (
            pytest.raises(FewstepError, match="expected nobody else to write"),
            draft(opened, second, graphs),
        ):
            pass
        commit(drafted, drafted.variant())
    assert [v.name for v in Bundle.open(copy).manifest.variants][-1] == "first"
    with (
        pytest.raises(FewstepError, match="expected the bundle as it was when it was opened"),
        draft(opened, second, graphs),
    ):
        pass
    again = Bundle.open(copy)
    with draft(again, second, graphs) as drafted:
        commit(drafted, drafted.variant())
    names = [v.name for v in Bundle.open(copy).manifest.variants]
    assert names[-2:] == ["first", "second"] and Bundle.open(copy).verify()
    assert [path.name for path in copy.parent.iterdir()] == ["copy.fewstep"]

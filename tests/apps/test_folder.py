"""A folder is there whole or not at all."""

from pathlib import Path

import pytest

from fewstep_apps.folder import whole


def test_it_appears_when_it_is_done(tmp_path: Path) -> None:
    output = tmp_path / "new" / "app"
    with whole(output) as folder:
        folder.mkdir()
        (folder / "file").write_text("x")
        assert not output.exists()
    assert (output / "file").read_text() == "x"
    assert [path.name for path in output.parent.iterdir()] == ["app"]


def test_an_empty_folder_is_taken_and_a_failure_leaves_it(tmp_path: Path) -> None:
    output = tmp_path / "app"
    output.mkdir()
    with pytest.raises(ValueError, match="no"), whole(output) as folder:
        folder.mkdir()
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == [output] and not any(output.iterdir())
    with whole(output) as folder:
        folder.mkdir()
    assert list(tmp_path.iterdir()) == [output]

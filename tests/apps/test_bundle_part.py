"""A bundle with fewer builds: nothing missing, nothing left over."""

import shutil
from pathlib import Path

import pytest

from fewstep.bundle import Bundle
from fewstep.errors import BundleError, IntegrityError
from fewstep.pipeline import Pipeline
from fewstep_apps.bundle_part import write_part


@pytest.mark.parametrize("names", [["int8"], ["fp32-ort"], ["int8", "fp32"]], ids="+".join)
def test_the_part_is_a_bundle_that_draws_the_same(app_bundle: Path, tmp_path: Path, names: list[str]) -> None:
    source = Bundle.open(app_bundle)
    part = write_part(source, names, tmp_path / "part.fewstep")
    assert part.verify() < len(source.manifest.files)
    assert [variant.name for variant in part.manifest.variants] == names
    assert part.manifest.default_variant == names[0]
    assert ("ort/fp32-ort/required_operators.config" in part.manifest.files) == ("fp32-ort" in names)
    pictures = (
        Pipeline(root, names[0], threads=1).generate("a red heart", 7) for root in (part.root, app_bundle)
    )
    assert len({picture.tobytes() for picture in pictures}) == 1


def test_a_build_that_is_not_there_and_a_changed_file_are_refused(app_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="found 'int9'"):
        write_part(Bundle.open(app_bundle), ["int9"], tmp_path / "part.fewstep")
    own = Path(shutil.copytree(app_bundle, tmp_path / "own.fewstep"))
    (own / "tokenizer.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"tokenizer\.json"):
        write_part(Bundle.open(own), ["int8"], tmp_path / "part.fewstep")

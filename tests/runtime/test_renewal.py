"""A bundle that is written anew takes the old one's place whole, or not at all."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError, IntegrityError
from fewstep.manifest import MANIFEST_NAME
from fewstep.renewal import renewed


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_without_a_manifest_or_after_an_error_the_old_bundle_stays(bundle_copy: Path) -> None:
    before, bundle = contents(bundle_copy), Bundle.open(bundle_copy)
    with renewed(bundle) as root:
        assert set(contents(root)) == set(before) - {MANIFEST_NAME}
        (root / "more").write_text("x")
    with pytest.raises(ZeroDivisionError), renewed(bundle) as root:
        (root / MANIFEST_NAME).write_text("{}")
        raise ZeroDivisionError
    assert contents(bundle_copy) == before
    assert [path.name for path in bundle_copy.parent.iterdir()] == [bundle_copy.name]


def test_with_a_manifest_the_new_one_takes_its_place(bundle_copy: Path) -> None:
    before, bundle = contents(bundle_copy), Bundle.open(bundle_copy)
    with renewed(bundle) as root:
        manifest = replace(bundle.manifest, name="new")
        (root / MANIFEST_NAME).write_text(json.dumps(manifest.to_dict()))
    after = contents(bundle_copy)
    assert Bundle.open(bundle_copy).manifest == manifest
    assert Bundle.open(bundle_copy).verify() == len(after) - 1
    del before[MANIFEST_NAME], after[MANIFEST_NAME]
    assert after == before


def test_nothing_is_built_on_what_was_written_since_or_is_broken(bundle_copy: Path) -> None:
    bundle = Bundle.open(bundle_copy)
    old = Bundle(bundle_copy, replace(bundle.manifest, name="older"))
    with (
        pytest.raises(FewstepError, match="expected the bundle as it was when it was opened"),
        renewed(old),
    ):
        pass
    name = next(iter(bundle.manifest.files))
    (bundle_copy / name).write_bytes(b"broken")
    with pytest.raises(IntegrityError), renewed(bundle):
        pass

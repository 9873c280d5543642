"""Manifests of older versions are read as the present one."""

import json
from pathlib import Path
from typing import Any

import pytest

from fewstep.errors import BundleError
from fewstep.manifest import Manifest
from fewstep.migration import upgrade
from fewstep.samplers import compile_table

DRAFT = Path(__file__).parents[1] / "data" / "manifest_draft.json"


@pytest.fixture
def draft(tiny_bundle: Path) -> Any:
    """What the first code of this repository wrote, with the files of today's tiny bundle."""
    files = json.loads((tiny_bundle / "manifest.json").read_text())["files"]
    return {**json.loads(DRAFT.read_text())["manifest"], "files": files}


def test_the_draft_of_version_1_is_read(draft: Any, tiny_bundle: Path) -> None:
    manifest = Manifest.from_dict(draft)
    today = Manifest.from_dict(json.loads((tiny_bundle / "manifest.json").read_text()))
    assert manifest.tokenizers == today.tokenizers
    assert manifest.step_tables["flow-dpm++2m-4"] == compile_table("flow-dpm++2m", 4, 3.0)
    assert [row.timestep for row in manifest.step_tables["flow-dpm++2m-4"].rows] == [
        row["timestep"] for row in draft["step_tables"]["flow-dpm++2m-4"]["rows"]
    ]
    assert manifest == today


def test_a_manifest_of_today_is_left_as_it_is(tiny_bundle: Path) -> None:
    value = json.loads((tiny_bundle / "manifest.json").read_text())
    assert upgrade(value, "x") == value


def test_a_table_of_the_draft_that_nothing_is_known_of_is_refused(draft: Any) -> None:
    draft["step_tables"]["flow-dpm++2m-4"]["sampler"] = "mine"
    with pytest.raises(BundleError, match="rows of the first format that no sampler is known for"):
        Manifest.from_dict(draft)


@pytest.mark.parametrize("version", [0, -(10**30), True, "1", None])
def test_a_version_that_never_was_is_refused(tiny_bundle: Path, version: object) -> None:
    value = json.loads((tiny_bundle / "manifest.json").read_text())
    with pytest.raises(BundleError, match=r"expected 1, found .*in manifest\.schema_version"):
        Manifest.from_dict(value | {"schema_version": version})


@pytest.mark.parametrize(
    ("sampler", "shift", "rows"), [([], 3.0, 1), ("flow-euler", 1e-300, 4), ("flow-euler", 3.0, 2000)]
)
def test_facts_that_no_table_follows_from_are_refused(
    draft: Any, sampler: object, shift: float, rows: int
) -> None:
    """Found by benchmarks/reliability/fuzz.py."""
    draft["sampling"]["shift"] = shift
    draft["step_tables"]["flow-dpm++2m-4"] |= {"sampler": sampler, "rows": [{"convert": []}] * rows}
    with pytest.raises(BundleError, match=r"in manifest\.step_tables\.flow-dpm"):
        Manifest.from_dict(draft)


def test_a_later_version_asks_for_a_newer_fewstep(draft: Any) -> None:
    with pytest.raises(BundleError, match=r"schema version 1, found version 2.*update fewstep"):
        Manifest.from_dict(draft | {"schema_version": 2})


def test_the_digest_names_the_content_and_not_its_spelling(tiny_bundle: Path) -> None:
    value = json.loads((tiny_bundle / "manifest.json").read_text())
    other = dict(reversed(value.items()))
    assert Manifest.from_dict(value).digest == Manifest.from_dict(other).digest
    other["name"] = "other"
    assert Manifest.from_dict(value).digest != Manifest.from_dict(other).digest

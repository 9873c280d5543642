"""ATTRIBUTION.md credits everything that the data builder fetches and every foreign weight that the code fetches."""

from pathlib import Path

import pytest

from fewstep_distillation.data.styles import STYLES, Style
from fewstep_models import pretrained

TEXT = (Path(__file__).parent.parent / "ATTRIBUTION.md").read_text(encoding="utf-8")
WEIGHTS = sorted(
    {
        value.requirement: value
        for value in vars(pretrained).values()
        if isinstance(value, pretrained.WheelFile)
    }.values(),
    key=lambda value: value.requirement,
)


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.key)
def test_art_is_credited(style: Style) -> None:
    package = f"{style.package.name} {style.package.version}"
    assert f"| {style.key} | {style.word} | {style.credit} | {style.licence} | {package} |" in TEXT


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda weights: weights.requirement)
def test_weights_are_credited(weights: pretrained.WheelFile) -> None:
    package = weights.requirement.replace("==", " ")
    assert f"| {weights.licence} | {package} |" in TEXT


def test_share_alike_art_is_not_used() -> None:
    assert {style.licence for style in STYLES} == {"Apache-2.0", "MIT", "CC-BY-4.0"}

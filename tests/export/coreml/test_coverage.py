"""Every backbone, autoencoder and family of diffusers pipelines as packages for iOS 17 and iOS 18, in FP32 and FP16."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from tests.export.checkpoints.test_diffusers import NAMES
from tests.scripts import load_script

SCRIPT = Path(__file__).parents[3] / "benchmarks/coreml_coverage.py"


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    """benchmarks/coreml_coverage.py."""
    return load_script(SCRIPT)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The classes of diffusers and transformers warn of one another."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _judge(coverage: ModuleType, models: object, only: str = "") -> int:
    """Judges the models whose name holds `only`; returns how many there were."""
    count = 0
    for name, component, cases in models:  # type: ignore[attr-defined] # an iterator of the script's own type
        if only in name:
            found = coverage.judge(component, cases)
            assert len(found) == 4 and all(error > 0 for error in found.values()), name
            count += 1
    return count


@pytest.mark.parametrize("name", ["kl", pytest.param("tiny", marks=pytest.mark.slow)])
def test_a_published_autoencoder(name: str, coverage: ModuleType) -> None:
    assert _judge(coverage, coverage.autoencoders(), f"autoencoder, {name}") == 1


@pytest.mark.slow
def test_the_text_encoder_of_a_family(coverage: ModuleType) -> None:
    assert _judge(coverage, coverage.family("sd1"), "text_encoder") == 1


@pytest.mark.slow
def test_every_backbone(coverage: ModuleType) -> None:
    assert _judge(coverage, coverage.backbones()) == 9


@pytest.mark.slow
def test_every_autoencoder(coverage: ModuleType) -> None:
    assert _judge(coverage, coverage.autoencoders()) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_family(name: str, coverage: ModuleType) -> None:
    assert _judge(coverage, coverage.family(name)) >= 2

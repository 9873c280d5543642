"""Packages of the tiny generator, and inputs with a batch of 1."""

from pathlib import Path

import pytest

from fewstep.network import Feeds
from fewstep_export.fixed_inputs import Cases

COMPONENTS = ("text_encoder", "denoiser", "decoder")


def rows(feeds: Feeds) -> list[Feeds]:
    """Every row as a batch of its own."""
    count = len(next(iter(feeds.values())))
    return [{name: value[i : i + 1] for name, value in feeds.items()} for i in range(count)]


@pytest.fixture(scope="session")
def inputs(cases: Cases) -> dict[str, list[Feeds]]:
    """Inputs of the tiny generator's components, row by row."""
    return {name: rows(cases[name][0].feeds) for name in COMPONENTS}


@pytest.fixture(scope="session")
def packages(coreml_bundle: Path) -> dict[str, Path]:
    """FP32 packages of the tiny generator by component; tests only read them."""
    return {name: coreml_bundle / f"coreml/fp32/{name}.mlpackage" for name in COMPONENTS}


@pytest.fixture(scope="session")
def halves(coreml_bundle: Path) -> dict[str, Path]:
    """FP16 packages of the tiny generator by component; tests only read them."""
    return {name: coreml_bundle / f"coreml/fp16/{name}.mlpackage" for name in COMPONENTS}

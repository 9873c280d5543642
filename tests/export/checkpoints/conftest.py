"""Tiny folders of the real pipelines, each made once a session."""

import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from tests.scripts import load_script

HERE = Path(__file__).parent

torch.set_num_threads(1)  # the tiny models are too small for two, and the machine may be busy


@pytest.fixture(scope="session")
def tiny_pipelines() -> ModuleType:
    """tiny_pipelines.py."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_script(HERE / "tiny_pipelines.py")


@pytest.fixture(scope="session")
def original_names() -> ModuleType:
    """original_names.py."""
    return load_script(HERE / "original_names.py")


@pytest.fixture(scope="session")
def checkpoint(tiny_pipelines: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a case by name; tests only read it."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[name] = tiny_pipelines.CASES[name].build(tmp_path_factory.mktemp(name))
        return made[name]

    return folder

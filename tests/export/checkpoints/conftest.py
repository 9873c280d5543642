"""Tiny folders of the real pipelines, each made once a session."""

import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

torch.set_num_threads(1)  # the tiny models are too small for two, and the machine may be busy


def _sibling(name: str) -> ModuleType:
    """A module beside this file, which pytest does not put on the path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny_pipelines() -> ModuleType:
    """tiny_pipelines.py."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _sibling("tiny_pipelines")


@pytest.fixture(scope="session")
def original_names() -> ModuleType:
    """original_names.py."""
    return _sibling("original_names")


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

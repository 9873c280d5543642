"""Other people's samplers, by the one file that holds them: the packages around it ask for training tools."""

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

LoadAlone = Callable[[str, Mapping[str, Mapping[str, object]]], Any]


@pytest.fixture
def load_alone(monkeypatch: pytest.MonkeyPatch) -> LoadAlone:
    """(module, stand-ins) -> the module of an installed package, without running the package's own `__init__`.

    A stand-in is a module of that name with the given contents, for what the module imports and its samplers do not use; a
    dotted part of the package itself without contents stays where its files are.
    """

    def load(name: str, stand_ins: Mapping[str, Mapping[str, object]]) -> Any:
        package = name.partition(".")[0]
        spec = importlib.util.find_spec(package)  # finds, does not import
        if spec is None or not spec.submodule_search_locations:
            pytest.skip(f"needs {package}: pip install --no-deps -r tests/references.txt")
        root = Path(spec.submodule_search_locations[0]).parent
        for stand_in, contents in {package: {}, **stand_ins}.items():
            made = types.ModuleType(stand_in)
            vars(made).update(contents, __path__=[str(root.joinpath(*stand_in.split(".")))])
            monkeypatch.setitem(sys.modules, stand_in, made)
        for known in [key for key in sys.modules if key.startswith(f"{package}.") and key not in stand_ins]:
            monkeypatch.delitem(sys.modules, known)
        return importlib.import_module(name)

    return load

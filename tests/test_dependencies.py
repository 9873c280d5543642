"""What the code imports and what pyproject.toml declares are the same set, and its tested versions are pinned."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ROOMS = ("runtime", "models", "distillation", "export", "quantization", "apps")


def _name(requirement: str) -> str:
    """The normalised name (PEP 503) of a requirement."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", requirement)[0]).lower()


BASE = {_name(requirement) for requirement in PROJECT["dependencies"]}
EXTRAS = {extra: {_name(r) for r in names} for extra, names in PROJECT["optional-dependencies"].items()}
# diffusers and transformers import the first two where a file needs them, coremltools the next for palettes; the last is one of two
# libraries that fewstep.tensorrt.library imports by name.
INDIRECT = {"peft", "sentencepiece", "kmeans1d", "scikit-learn", "tensorrt-rtx-cu13"}
ENGINES = {"coremltools", "openvino"}  # an engine that is no base dependency is imported when it is opened
ON_DEMAND = EXTRAS["signing"] | EXTRAS["sbom"]  # imported by the one function that needs them
USED = set().union(*(names for extra, names in EXTRAS.items() if extra != "dev"))


def _imported(room: str) -> set[str]:
    """Distributions that the room's files import anywhere, inside functions too."""
    modules: set[str] = set()
    for path in (ROOT / room).glob("fewstep*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.split(".")[0])
    modules = {m for m in modules if m not in sys.stdlib_module_names and not m.startswith("fewstep")}
    homes = packages_distributions()
    return {_name(homes.get(module, [module])[0]) for module in modules}


def test_runtime_imports_base_dependencies_alone() -> None:
    assert _imported("runtime") <= BASE | ENGINES | ON_DEMAND


def test_every_import_is_declared() -> None:
    assert set().union(*map(_imported, ROOMS)) <= BASE | USED


def test_every_declared_dependency_is_imported() -> None:
    assert set().union(*map(_imported, ROOMS)) >= (BASE | USED) - INDIRECT


def test_every_declared_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_name(line) for line in lines if "==" in line}
    assert pinned >= BASE.union(*EXTRAS.values())

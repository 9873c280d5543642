"""What the code imports and what pyproject.toml declares are the same set; its tested versions are pinned, and their files have hashes."""

import ast
import base64
import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from tests.scripts import load_script

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


def _pins(name: str) -> dict[str, str]:
    """Versions by package, of a file of pins."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {
        _name(line): line.partition("==")[2].split()[0] for line in lines if "==" in line and line[0] != "#"
    }


def test_every_declared_dependency_is_pinned() -> None:
    assert _pins("constraints.txt").keys() >= BASE.union(*EXTRAS.values())


def _needed(requirement: Requirement, seen: set[str]) -> Iterator[str]:
    """The requirement and all that it needs on this system, of what is installed."""
    extras = requirement.extras or {""}
    if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
        return
    if _name(requirement.name) in seen and extras == {""}:
        return
    seen.add(_name(requirement.name))
    try:
        needs = distribution(requirement.name).requires or []
    except PackageNotFoundError:  # an extra that is not installed here
        return
    yield requirement.name
    for need in map(Requirement, needs):
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras):
            need.marker = None
            yield from _needed(need, seen)


def test_all_that_is_needed_is_installed_as_pinned() -> None:
    pins, seen = _pins("constraints.txt"), set[str]()
    roots = [*PROJECT["dependencies"], *(r for rs in PROJECT["optional-dependencies"].values() for r in rs)]
    names = {name for root in roots for name in _needed(Requirement(root), seen) if name != "gradio"}
    assert len(names) > 80
    assert {name: Version(distribution(name).version).public for name in names} == {
        name: pins[_name(name)] for name in names
    }


def test_hashes_are_of_the_pinned_versions() -> None:
    assert _pins("hashes.txt") == _pins("constraints.txt") | _pins("tests/references.txt"), "run make hashes"
    entries = re.split(r"(?m)^(?=\S)", (ROOT / "hashes.txt").read_text(encoding="utf-8"))
    files = r" \\\n    --hash=sha256:[0-9a-f]{64}"
    for entry in entries[2:]:  # before the first, and a comment
        assert re.fullmatch(rf"\S+==\S+(?:{files})+\n", entry), entry


def _wheel(folder: Path, name: str, needs: str = "") -> Path:
    """An empty package."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    about = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in about.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{name}-1.0.dist-info/{file},sha256={digest},{len(text)}\n"
            archive.writestr(f"{name}-1.0.dist-info/{file}", text)
        archive.writestr(f"{name}-1.0.dist-info/RECORD", f"{record}{name}-1.0.dist-info/RECORD,,\n")
    return path


@pytest.mark.parametrize("case", ["right", "changed", "unlisted"])
def test_nothing_is_installed_but_what_has_its_hash(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of tools/environment.py, with two packages of which one needs the other."""
    outer, inner = _wheel(tmp_path, "outer", "Requires-Dist: inner\n"), _wheel(tmp_path, "inner")
    digests = {path.name[:5]: hashlib.sha256(path.read_bytes()).hexdigest() for path in (outer, inner)}
    if case == "changed":
        inner.write_bytes(inner.read_bytes() + b" ")
    names = ["outer"] if case == "unlisted" else ["outer", "inner"]
    hashes = tmp_path / "hashes.txt"
    hashes.write_text("".join(f"{name}==1.0 --hash=sha256:{digests[name]}\n" for name in names))
    environment = load_script(ROOT / "tools" / "environment.py")
    checked = [str(hashes) if word == str(environment.HASHES) else word for word in environment.CHECKED]
    here = ["--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / "site")]
    if case == "right":
        environment.pip(tmp_path, "outer", *checked, *here)
    else:
        with pytest.raises(subprocess.CalledProcessError):
            environment.pip(tmp_path, "outer", *checked, *here)
    assert (tmp_path / "site" / "inner-1.0.dist-info").exists() == (case == "right")


def test_pip_itself_is_checked() -> None:
    """The Makefile's way in: the pip that looks for hashes among constraints is the one that is pinned."""
    lines = load_script(ROOT / "tools" / "environment.py").pinned("pip").splitlines()
    assert lines[0].startswith(f"pip=={_pins('constraints.txt')['pip']} ") and "--hash" in lines[-1]
    assert "tools/environment.py $(EXTRAS)" in (ROOT / "Makefile").read_text(encoding="utf-8")

"""What is true of the repository as a whole: its size, what is never committed, and that its documents do not lie."""

import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from fewstep.cli import build_app

ROOT = Path(__file__).parent.parent
PACKAGES = sorted(path.name for path in ROOT.glob("*/fewstep*") if path.is_dir() and path.name.isidentifier())
LIMIT_BYTES = 60_000_000

FORBIDDEN_SUFFIXES = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".onnx", ".ort"}
# A pickle of protocol 2 to 5 begins so, whatever it is called.
PICKLE_MAGIC = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|home|Users)/\w")
REGISTRY_HOST = re.compile(
    r"(?:registry\.npmjs|pypi|pythonhosted|deb\.debian|download\.pytorch)\.(?:org|com)"
)


def _committed() -> list[Path]:
    """Files that are in git, or would be at the next commit of everything."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [path for name in output.split("\0") if name and (path := ROOT / name).is_file()]


DOCUMENTS = [path for path in _committed() if path.suffix == ".md"]


def _texts() -> Iterator[tuple[Path, str]]:
    for path in _committed():
        content = path.read_bytes()
        if b"\0" not in content[:4096]:
            yield path.relative_to(ROOT), content.decode("utf-8")


def test_repository_stays_small() -> None:
    assert sum(path.stat().st_size for path in _committed()) < LIMIT_BYTES


def test_nothing_that_executes_on_load_and_no_build_output_is_committed() -> None:
    bad = [path.name for path in _committed() if path.suffix in FORBIDDEN_SUFFIXES]
    for path in _committed():
        with path.open("rb") as file:
            if file.read(2) in PICKLE_MAGIC:
                bad.append(path.name)
    assert not bad


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["machine path", "registry host"])
def test_no_text_names_a_machine(pattern: re.Pattern[str]) -> None:
    found = [f"{path}: {match[0]}" for path, text in _texts() for match in pattern.finditer(text)]
    assert not found


def test_patterns_catch_what_they_are_for() -> None:
    slash, dot = "/", "."  # spelled so that this file passes the test above
    assert MACHINE_PATH.search(f"cp {slash}home/someone/x")
    assert not MACHINE_PATH.search(f"benchmarks{slash}work/x and ~{slash}home/x")
    assert REGISTRY_HOST.search(f"https://registry.npmjs{dot}org/x")
    assert not REGISTRY_HOST.search("the packages of PyPI and npm")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_room_imports_and_says_what_it_is(name: str) -> None:
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"<!--.*?-->", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []


def _commands() -> list[str]:
    """Lines of shell blocks in the documents and of Makefile recipes that call fewstep, in order, continued lines joined."""
    blocks: list[str] = []
    for document in DOCUMENTS:
        blocks += re.findall(
            r"```(?:sh|bash)\n(.*?)```", document.read_text(encoding="utf-8"), flags=re.DOTALL
        )
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(BIN)/", "")
    lines = "\n".join([*blocks, makefile]).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip().startswith("fewstep ")]


@pytest.mark.parametrize("line", _commands())
def test_documented_command_exists_with_its_options(line: str) -> None:
    command = typer.main.get_command(build_app())
    words = shlex.split(line, comments=True)[1:]
    while (group := getattr(command, "commands", None)) is not None:
        assert words and words[0] in group, f"{line}: expected one of {sorted(group)}"
        command = group[words.pop(0)]
    known = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    options = {word.split("=")[0] for word in words if re.fullmatch(r"--?[A-Za-z][^\s]*", word)}
    assert options <= known | {"--help"}


def test_documented_make_targets_exist() -> None:
    targets = set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    text = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    assert set(re.findall(r"\bmake ([a-z-]+)(?=[`\s]*(?:`|$|#))", text, flags=re.MULTILINE)) <= targets

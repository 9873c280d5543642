"""Loop, noise, tokenizer, pictures and report in Swift, compiled on Linux: the golden files, and Python's picture.

The Core ML engine is compiled against signatures of Core ML (stubs/CoreML.swift), the screens in SwiftUI are parsed. No Mac was here.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.apps.ios import swift_tools
from tests.apps.ios.swift_tools import OPTIONS, SCREENS, SOURCES, inside, laid
from tests.apps.piped import drawn

from fewstep.bench.overview import rows_of
from fewstep.pipeline import Pipeline

HERE = Path(__file__).parent
DATA = swift_tools.ROOT / "tests" / "data"

pytestmark = pytest.mark.slow  # the compiler is 540 MB


@pytest.fixture(scope="module")
def tools() -> Path:
    folder = swift_tools.toolchain()
    if folder is None:
        pytest.skip("Debian's Swift compiler needs apt-get and root")
    return folder


@pytest.fixture(scope="module")
def work(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled checks, which sees the golden files as /work/data."""
    folder = tmp_path_factory.mktemp("swift")
    files = [
        *laid(SOURCES, folder / "Fewstep"),
        *laid(sorted((HERE / "swift").glob("*.swift")), folder / "checks"),
    ]
    run(
        inside(
            tools,
            folder,
            "/usr/bin/swiftc",
            *OPTIONS,
            "-module-name",
            "Checks",
            "-o",
            "/work/program",
            *files,
        )
    )
    (folder / "data").mkdir()
    for name in ("noise.json", "golden_sampler_vectors.json", "tokens.json"):
        shutil.copy(DATA / name, folder / "data")
    return folder


def run(command: list[str], fails: bool = False) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_golden_files(tools: Path, work: Path) -> None:
    said = run(inside(tools, work, "/work/program", "golden", "/work/data")).split()
    counts = dict(zip(said[::2], map(int, said[1::2]), strict=True))
    golden = json.loads((DATA / "golden_sampler_vectors.json").read_text())["vectors"]
    assert counts["loop"] == sum(1 for vector in golden if not vector.get("edit"))
    assert counts["noise"] == 5 and counts["tokens"] == len(
        json.loads((DATA / "tokens.json").read_text())["cases"]
    )


def test_a_wrong_golden_file_fails(tools: Path, work: Path) -> None:
    (work / "wrong").mkdir()
    for file in (work / "data").iterdir():
        (work / "wrong" / file.name).write_text(file.read_text().replace("-0.9246626", "-0.9246636"))
    assert "for -0.9246636" in run(inside(tools, work, "/work/program", "golden", "/work/wrong"), fails=True)


def test_it_draws_the_picture_of_python_and_its_report_is_read(
    tools: Path, work: Path, app_bundle: Path
) -> None:
    bundle = Path(shutil.copytree(app_bundle, work / "tiny.fewstep"))
    prompt, seed = "a red heart, flat style", 2**64 - 3
    words = ["pipe", "/work/tiny.fewstep", prompt, str(seed), "/work/report.json"]
    found = drawn(inside(tools, work, "/work/program", *words), bundle, "fp32")
    expected = np.asarray(Pipeline(bundle, "fp32", threads=1).generate(prompt, seed))
    assert np.abs(found.astype(int) - expected).max() <= 1
    (row,) = rows_of(json.loads((work / "report.json").read_text()), "report.json", "phone")
    assert (row.device, row.build, row.engine) == ("a test (Linux, Swift)", "fp32", "pipe, 1 thread")


def test_the_engine_compiles_against_core_ml(tools: Path, tmp_path: Path) -> None:
    (stub,) = laid([HERE / "stubs" / "CoreML.swift"], tmp_path / "stubs")
    module = ["-emit-module", "-module-name", "CoreML", "-o", "/work/CoreML.swiftmodule"]
    run(inside(tools, tmp_path, "/usr/bin/swiftc", *OPTIONS, *module, stub))
    files = laid(SOURCES, tmp_path / "Fewstep")
    check = inside(
        tools,
        tmp_path,
        "/usr/bin/swiftc",
        *OPTIONS,
        "-typecheck",
        "-I",
        "/work",
        "-module-name",
        "Fewstep",
        *files,
    )
    run(check)
    engine = tmp_path / "Fewstep" / "CoreMLGraph.swift"
    engine.write_text(
        engine.read_text().replace("configuration.computeUnits = units", "configuration.computeUnits = 7")
    )
    assert "cannot assign" in run(check, fails=True)


def test_the_screens_parse(tools: Path, tmp_path: Path) -> None:
    for file in laid(SCREENS, tmp_path / "App"):
        run(inside(tools, tmp_path, "/usr/libexec/swift/bin/swift-frontend", "-frontend", "-parse", file))
    os.truncate(tmp_path / "App" / "DrawView.swift", 1500)
    broken = inside(
        tools,
        tmp_path,
        "/usr/libexec/swift/bin/swift-frontend",
        "-frontend",
        "-parse",
        "/work/App/DrawView.swift",
    )
    assert "to match this opening" in run(broken, fails=True)

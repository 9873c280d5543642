"""Loop, noise, tokenizer, pictures and report in Swift, compiled on Linux: the golden files, and Python's picture.

The Core ML engine and the screens are compiled against signatures of Core ML, UIKit and SwiftUI that were written by hand (stubs/). No Mac
was here.
"""

import json
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
    """A folder with the compiled checks, which sees the golden files as /checks/data."""
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
            "/checks/program",
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
    said = run(inside(tools, work, "/checks/program", "golden", "/checks/data")).split()
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
    assert "for -0.9246636" in run(
        inside(tools, work, "/checks/program", "golden", "/checks/wrong"), fails=True
    )


def test_it_draws_the_picture_of_python_and_its_report_is_read(
    tools: Path, work: Path, app_bundle: Path
) -> None:
    bundle = Path(shutil.copytree(app_bundle, work / "tiny.fewstep"))
    prompt, seed = "a red heart, flat style", 2**64 - 3
    words = ["pipe", "/checks/tiny.fewstep", prompt, str(seed), "/checks/report.json"]
    found = drawn(inside(tools, work, "/checks/program", *words), bundle, "fp32")
    expected = np.asarray(Pipeline(bundle, "fp32", threads=1).generate(prompt, seed))
    assert np.abs(found.astype(int) - expected).max() <= 1
    (row,) = rows_of(json.loads((work / "report.json").read_text()), "report.json", "phone")
    assert (row.device, row.build, row.engine) == ("a test (Linux, Swift)", "fp32", "pipe, 1 thread")


def test_engine_and_screens_compile_against_signatures_of_apple(tools: Path, tmp_path: Path) -> None:
    def compiled(*words: str, fails: bool = False) -> str:
        options = [*OPTIONS, "-I", "/checks", "-parse-as-library"]
        return run(inside(tools, tmp_path, "/usr/bin/swiftc", *options, *words), fails)

    laid(sorted((HERE / "stubs").glob("*.swift")), tmp_path / "stubs")
    for name in ("CoreML", "UIKit", "SwiftUI"):
        compiled(
            "-emit-module",
            "-module-name",
            name,
            "-o",
            f"/checks/{name}.swiftmodule",
            f"/checks/stubs/{name}.swift",
        )
    package = laid(SOURCES, tmp_path / "Fewstep")
    compiled("-emit-module", "-module-name", "Fewstep", "-o", "/checks/Fewstep.swiftmodule", *package)
    screens = laid(SCREENS, tmp_path / "App")
    compiled("-typecheck", "-module-name", "demo", *screens)

    model = tmp_path / "App" / "Model.swift"
    model.write_text(model.read_text().replace("component: component)", "component: variant)"))
    assert "cannot convert value of type 'Variant'" in compiled(
        "-typecheck", "-module-name", "demo", *screens, fails=True
    )

"""A bundle of the tiny generator with FP32 and INT8 builds, packaged as the web app, and a Chromium to open it in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.apps.web.server import Server, serve
from tests.export.conftest import bundle, tiny  # noqa: F401 - fixtures

from fewstep_apps.config import PackageConfig
from fewstep_apps.web.package import SITE, package_web
from fewstep_quantization.command import quantize
from fewstep_quantization.config import Limits, QuantizeConfig

# Chromium must not call home; WebGPU is there headless with its software renderer, if asked for so.
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--enable-unsafe-webgpu",
]


@pytest.fixture(scope="session")
def built_site() -> Path:
    """The web app as Vite built it."""
    assert (SITE / "index.html").is_file(), "the web app is not built; run `make apps`"
    return SITE


@pytest.fixture(scope="session")
def app_bundle(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811 - the fixture
    """The tiny bundle with an INT8 build; tests only read it."""
    own = Path(shutil.copytree(bundle, tmp_path_factory.mktemp("apps") / "tiny.fewstep"))
    quantize(QuantizeConfig(own, "int8", pictures=2, rounds=1, limits=Limits(speedup=1e-6), force=True))
    return own


@pytest.fixture(scope="session")
def package(app_bundle: Path, built_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The web app with both builds, FP32 first; tests only read it."""
    output = tmp_path_factory.mktemp("package") / "site"
    package_web(PackageConfig(app_bundle, "web", output, ("fp32", "int8"), "Tiny stickers"), built_site)
    return output


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The Chromium of the system."""
    path = shutil.which("chromium")
    assert path, "Chromium is not installed; run tools/install.sh"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def server(package: Path) -> Iterator[Server]:
    """A plain server of the package's files that can be told to misbehave."""
    with serve(package) as started:
        yield started

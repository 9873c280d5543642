"""The Android package of the tiny bundle, and the Kotlin of the native app, compiled."""

from pathlib import Path

import pytest
from tests.apps.android import kotlin

from fewstep_apps.android import apk
from fewstep_apps.android.package import PROJECT, AndroidPackage, package_android
from fewstep_apps.config import PackageConfig


@pytest.fixture(scope="session")
def android_package(
    app_bundle: Path, built_site: Path, tmp_path_factory: pytest.TempPathFactory
) -> AndroidPackage:
    """The package with the INT8 build, signed with a key of its own; tests only read it."""
    assert apk.missing() is None, f"run tools/install.sh: {apk.missing()}"
    folder = tmp_path_factory.mktemp("android")
    config = PackageConfig(app_bundle, "android", folder / "out", (), "Tiny's <stickers>")
    return package_android(config, built_site, folder / "debug.keystore")


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classes of native/core with its tests."""
    sources = [PROJECT / "core" / "src" / "main" / "kotlin", kotlin.TESTS]
    return kotlin.compiled(sources, tmp_path_factory.mktemp("kotlin") / "core", kotlin.LIBRARIES)

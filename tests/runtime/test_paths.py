"""Paths that could leave a bundle, or that another system reads as another file."""

import pytest

from fewstep.errors import BundleError
from fewstep.paths import require_distinct_paths, require_safe_path


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a/..",
        "a//b",
        "./a",
        "a/",
        "a\\b",
        "C:x",
        "a\x00b",
        "a\nb",
        "a*",
        "a|b",
    ],
)
def test_a_path_that_could_leave_the_bundle_is_refused(path: str) -> None:
    with pytest.raises(BundleError, match="expected a plain relative path"):
        require_safe_path(path)


@pytest.mark.parametrize("path", ["con", "ort/NUL.onnx", "a./b", "a ", "com1.json"])
def test_a_name_that_windows_reads_in_another_way_is_refused(path: str) -> None:
    with pytest.raises(BundleError, match="names that every system can write"):
        require_safe_path(path)


def test_a_long_path_is_refused() -> None:
    require_safe_path("a" * 240)
    with pytest.raises(BundleError, match="at most 240 bytes, found one of 242"):
        require_safe_path("ä" * 121)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["a", "A"], "more than case, found 'a' and 'A'"),
        (["\u00e4", "a\u0308"], "more than case"),
        (["straße", "STRASSE"], "more than case"),
        (["a/b", "A"], "to be a file or a folder, found both"),
        (["a/b/c", "a"], "to be a file or a folder, found both"),
    ],
)
def test_names_of_one_file_are_refused(paths: list[str], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        require_distinct_paths(paths)
    require_distinct_paths(["a/b", "a/c", "ab"])

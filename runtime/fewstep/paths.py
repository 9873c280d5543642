"""Paths inside a bundle: the same file on every system, and never one outside."""

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from fewstep.errors import BundleError
from fewstep.limits import PATH_BYTES

_DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{k}" for kind in ("com", "lpt") for k in "0123456789")}
"""Names that Windows takes for devices, with any ending."""


def require_safe_path(path: str) -> None:
    r"""Refuses a path that could leave the bundle, or that other systems read in another way.

    Raises:
        BundleError: the path is empty, absolute or too long, has '.' or '..' as a part, one of ``\ : * ? " < > |``, a control
            character, a part that ends in a dot or a space, or one that is a device on Windows.
    """
    pure = PurePosixPath(path)
    plain = path.isprintable() and not set('\\:*?"<>|') & set(path)
    if not plain or path != str(pure) or pure.is_absolute() or not pure.parts or ".." in pure.parts:
        raise BundleError(f"expected a plain relative path with '/', found {path!r}, in field 'files'")
    if len(path.encode()) > PATH_BYTES:
        raise BundleError(
            f"expected a path of at most {PATH_BYTES} bytes, found one of {len(path.encode())}, in field 'files'"
        )
    for part in pure.parts:
        if part[-1] in ". " or part.split(".")[0].casefold() in _DEVICES:
            raise BundleError(
                f"expected names that every system can write, found {path!r}, in field 'files'; rename the file"
            )


def require_distinct_paths(paths: Iterable[str]) -> None:
    """Refuses paths of which some system would make one file, or a file and a folder of the same name.

    Raises:
        BundleError: two differ in case or in the form of accents alone, or one lies inside another.
    """
    files: dict[str, str] = {}
    for path in paths:
        folded = _folded(path)
        if folded in files:
            raise BundleError(
                f"expected files whose names differ in more than case, found {files[folded]!r} and {path!r}, in field 'files'"
            )
        files[folded] = path
    for folded, path in files.items():
        for parent in PurePosixPath(folded).parents:
            if str(parent) in files:
                raise BundleError(
                    f"expected {files[str(parent)]!r} to be a file or a folder, found both, as of {path!r}, in field 'files'"
                )


def _folded(path: str) -> str:
    """The same for all names that a system may take for one: neither case nor the form of accents counts."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())

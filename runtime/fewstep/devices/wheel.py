"""The runtime alone as a wheel, from the package as it is installed here: what a board gets, without torch and the other rooms."""

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path

import fewstep

_SKIPPED = {".pyc"}


_SCRIPTS = {"fewstep": "fewstep.__main__:main"}


def thin_wheel() -> tuple[str, bytes]:
    """The file name and the content of a wheel (PEP 427) of `fewstep`; the same package gives the same bytes."""
    return wheel(package_files(Path(fewstep.__file__).parent), _SCRIPTS)


def package_files(folder: Path) -> dict[str, bytes]:
    """The files of a package by their paths in a wheel."""
    return {
        path.relative_to(folder.parent).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in _SKIPPED
    }


def wheel(
    files: Mapping[str, bytes], scripts: Mapping[str, str], needs: Sequence[str] = ()
) -> tuple[str, bytes]:
    """The file name and the content of a wheel called fewstep.

    Args:
        files: by their paths in it.
        scripts: commands, by name the function.
        needs: requirements besides those of the runtime.
    """
    metadata = distribution("fewstep").metadata
    version = metadata["Version"]
    info = f"fewstep-{version}.dist-info"
    own = [line for line in metadata.get_all("Requires-Dist", []) if "extra" not in line]
    head = ["Metadata-Version: 2.1", "Name: fewstep", f"Version: {version}"]
    head += [f"Requires-Python: {metadata['Requires-Python']}"]
    head += [f"Requires-Dist: {line}" for line in (*own, *needs)]
    entries = "".join(f"{name} = {function}\n" for name, function in scripts.items())
    content = {
        **files,
        f"{info}/METADATA": ("\n".join(head) + "\n").encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: fewstep\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{entries}".encode(),
    }
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in content.items()]
    content[f"{info}/RECORD"] = ("\n".join([*lines, f"{info}/RECORD,,"]) + "\n").encode()
    return f"fewstep-{version}-py3-none-any.whl", _zip(content)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()

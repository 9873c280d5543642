"""The runtime alone as a wheel, from the package as it is installed here: what a board gets, without torch and the other rooms."""

import base64
import hashlib
import io
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import fewstep

_SKIPPED = {".pyc"}


def thin_wheel() -> tuple[str, bytes]:
    """The file name and the content of a wheel (PEP 427) of `fewstep`; the same package gives the same bytes."""
    metadata = distribution("fewstep").metadata
    version = metadata["Version"]
    info = f"fewstep-{version}.dist-info"
    package = Path(fewstep.__file__).parent
    files = {
        f"fewstep/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and path.suffix not in _SKIPPED
    }
    needs = [
        f"Requires-Dist: {line}" for line in metadata.get_all("Requires-Dist", []) if "extra" not in line
    ]
    head = ["Metadata-Version: 2.1", "Name: fewstep", f"Version: {version}"]
    head += [f"Requires-Python: {metadata['Requires-Python']}", *needs]
    files[f"{info}/METADATA"] = ("\n".join(head) + "\n").encode()
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: fewstep\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nfewstep = fewstep.cli:main\n"
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{info}/RECORD"] = ("\n".join([*lines, f"{info}/RECORD,,"]) + "\n").encode()
    return f"fewstep-{version}-py3-none-any.whl", _zip(files)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()

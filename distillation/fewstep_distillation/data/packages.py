"""Pinned npm packages: their tarballs are fetched with `npm pack`, checked against the pin, and read without being unpacked.

Nothing of a package is ever run or written to disk: the files that are wanted are read out of the tarball into memory.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from fewstep.errors import FewstepError


@dataclass(frozen=True)
class Package:
    """One version of an npm package; `integrity` is the SHA-512 of its tarball in npm's form, `sha512-` and Base64."""

    name: str
    version: str
    integrity: str

    def __str__(self) -> str:
        """The way npm writes it: name@version."""
        return f"{self.name}@{self.version}"

    @property
    def tarball(self) -> str:
        """The file name that npm gives to the tarball."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


def fetch(package: Package, cache: Path) -> Path:
    """Path of the package's tarball in `cache`, downloaded unless the right one is there already.

    Raises:
        FewstepError: npm is missing, the registry cannot be reached, or it serves another tarball than the pinned one.
    """
    target = cache / package.tarball
    if target.is_file() and integrity(target) == package.integrity:
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".npm-", dir=cache) as folder:
        downloaded = _npm_pack(package, Path(folder))
        if (found := integrity(downloaded)) != package.integrity:
            raise FewstepError(
                f"expected {package.integrity} for {package}, found {found}: the registry serves another tarball; "
                "check which registry npm is set to (`npm config get registry`)"
            )
        downloaded.replace(target)
    return target


def read(tarball: Path, pattern: str) -> dict[str, bytes]:
    """The files of a tarball whose path below its top folder matches the regular expression `pattern` as a whole.

    Raises:
        FewstepError: the tarball is damaged, or no file of it matches.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(tarball, "r|gz") as archive:  # a stream: one pass, nothing extracted
            for member in archive:
                path = member.name.partition("/")[2]
                if re.fullmatch(pattern, path) and (stream := archive.extractfile(member)) is not None:
                    found[path] = stream.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise FewstepError(
            f"cannot read {tarball}: {error}; delete it, then run again to fetch it anew"
        ) from None
    if not found:
        raise FewstepError(
            f"expected a file {pattern} in {tarball}, found none; the package is not the pinned one"
        )
    return found


def integrity(path: Path) -> str:
    """SHA-512 of a file as npm writes it."""
    with path.open("rb") as file:
        return "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()


def _npm_pack(package: Package, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise FewstepError(
            f"expected npm on PATH to fetch {package}, found none; install Node.js, then run again"
        )
    # Without retries, so that a registry that is away is reported at once; a second run goes on where this one stopped.
    command = [npm, "pack", str(package), "--ignore-scripts", "--fetch-retries=0", "--loglevel=error"]
    # npm looks for its settings from the working folder upwards; the temporary folder has none of its own.
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"}
    )
    tarballs = sorted(folder.glob("*.tgz"))
    if result.returncode or len(tarballs) != 1:
        raise FewstepError(
            f"cannot download {package} with npm ({_reason(result.stderr)}); check the network and the registry that npm "
            "is set to, then run again: what was downloaded is kept"
        )
    return tarballs[0]


def _reason(stderr: str) -> str:
    """Npm's code (ENOTFOUND, E404, ...) and its first sentence."""
    lines = [
        line.removeprefix("npm error ").strip()
        for line in stderr.splitlines()
        if line.startswith("npm error ")
    ]
    code = next((line.removeprefix("code ") for line in lines if line.startswith("code ")), None)
    said = next(
        (line for line in lines if not re.match(r"(code|errno|syscall|[Aa] complete log)\b", line)), None
    )
    return ": ".join(filter(None, (code, said))) or "it gave no reason"

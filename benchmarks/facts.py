"""What a file of results says beside its figures, so that one command makes them again and nobody compares machines unawares."""

import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def facts(*packages: str, threads: int | None = None) -> dict[str, Any]:
    """Command (files by their names alone), date, device, threads (of computing; the machine's cores if not told) and versions."""
    words = (Path(word).name if "/" in word else word for word in sys.argv[1:])
    cores = os.cpu_count() or 1
    return {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": f"{platform.machine()} CPU, {cores} cores",
        "threads": cores if threads is None else threads,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def text_of(result: Mapping[str, Any]) -> str:
    """A result as the text of its file, five digits a number."""
    shorter = json.loads(json.dumps(result), parse_float=lambda digits: float(f"{float(digits):.5g}"))
    return json.dumps(shorter, indent=1) + "\n"

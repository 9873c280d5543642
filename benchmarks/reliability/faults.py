"""What the scripts of faults share."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

EVENTS = {
    "open",
    "os.link",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.listdir",
    "shutil.rmtree",
    "ctypes.dlsym",
    "os.chmod",
}
"""Python's audit events of operations on files."""


def sum_of(counts: Counter[str], old: Mapping[str, Any]) -> Mapping[str, int]:
    """What was counted in this run and those before; zeros stay."""
    names = sorted({*counts, *(name for name, value in old.items() if isinstance(value, int))})
    return {name: counts[name] + old.get(name, 0) for name in names}

"""What is fuzzed: the readers of a bundle, each as a function of bytes.

A target may return, or raise a FewstepError of one line. Anything else is a finding: another exception, a crash, more than `SECONDS`, more
memory than `MEMORY` above the start, a file opened for reading outside the folder that it was given, or one written there.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from fewstep.archive import unpack
from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.manifest import Manifest, TokenizerFile
from fewstep.onnx_graph import require_safe_graph
from fewstep.signature import verify
from fewstep.step_table import StepTable
from fewstep.strict_json import parse_json
from fewstep.tokenizer import Tokenizer

SECONDS = 5
MEMORY = 1 << 30
PROMPTS = ("a red heart, flat style", "", "ä" * 40)
KEY = "RWQcTkQHD5cgqwsmtnxtLR/KKorlv/zI1MT9Ze3fFM0iN5rj2MsfRSn5"
RECORD = TokenizerFile("tokenizer.json", 32)

Target = Callable[[bytes, Path], None]


def manifest(data: bytes, folder: Path) -> None:
    """manifest.json: parsed, checked, described, written again."""
    made = Manifest.from_dict(parse_json(data, "manifest.json"))
    assert Manifest.from_dict(made.to_dict()) == made
    _ = made.digest


def bundle(data: bytes, folder: Path) -> None:
    """A folder with that manifest and one file beside it: no file but these may be opened."""
    (folder / "manifest.json").write_bytes(data)
    opened = Bundle.open(folder)
    for name in list(opened.manifest.files)[:4]:
        refused(lambda name=name: opened.file(name))
    refused(opened.verify)
    for steps, sampler in ((None, None), (3, None), (2, "flow-dpm++2m"), (5, "DPMSolverMultistepScheduler")):
        refused(lambda steps=steps, sampler=sampler: opened.step_table(steps, sampler))
    for variant in opened.manifest.variants[:2]:
        for component in list(variant.components.values())[:4]:
            refused(lambda component=component: opened.graph(component))


def step_table(data: bytes, folder: Path) -> None:
    """A step table, and the formulas that it stands for."""
    made = StepTable.from_dict(parse_json(data, "table"))
    assert StepTable.from_dict(made.to_dict()) == made
    made.explain()


def tokenizer(data: bytes, folder: Path) -> None:
    """tokenizer.json, and a few prompts."""
    (folder / "tokenizer.json").write_bytes(data)
    made = Tokenizer.load(folder / "tokenizer.json", RECORD)
    for prompt in PROMPTS:
        refused(lambda prompt=prompt: made.encode([prompt]))


def archive(data: bytes, folder: Path) -> None:
    """A zip file, unpacked."""
    (folder / "bundle.zip").write_bytes(data)
    try:
        unpack(folder / "bundle.zip", folder / "out")
    except OSError as error:  # names that this system does not take
        raise FewstepError(str(error)) from None


def onnx(data: bytes, folder: Path) -> None:
    """An ONNX file, as far as the runtime reads one itself."""
    (folder / "graph.onnx").write_bytes(data)
    require_safe_graph(folder / "graph.onnx", {"graph.onnx.data"}, ())


def signature(data: bytes, folder: Path) -> None:
    """A signature of minisign."""
    verify(b"the manifest\n", data.decode("utf-8", "replace"), KEY, "signature")


TARGETS: Mapping[str, Target] = {
    target.__name__: target for target in (manifest, bundle, step_table, tokenizer, archive, onnx, signature)
}


class OutsideError(Exception):
    """A file outside the folder was opened."""


def refused(call: Callable[[], object]) -> bool:
    """Whether the call was refused as it should be; False if it went through."""
    try:
        call()
    except FewstepError as error:
        assert str(error).isprintable() and len(str(error)) < 3000, repr(error)
        return True
    return False


class Fence:
    """While it is up, this process may open files below one folder alone (and what Python itself reads of its packages)."""

    def __init__(self, folder: Path) -> None:
        self._allowed = (
            os.path.realpath(folder),
            sys.prefix,
            sys.base_prefix,
            str(Path(__file__).parents[2]),
        )
        self.up = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.up or event not in (
            "open",
            "os.mkdir",
            "os.remove",
            "os.rename",
            "os.symlink",
            "os.link",
        ):
            return
        path = arguments[0]
        if event == "os.remove" and not Path(os.fsdecode(path)).is_absolute():  # type: ignore[arg-type]
            return  # relative to an open folder, which was reached through the fence
        if isinstance(path, str | bytes | os.PathLike):
            real = os.path.realpath(os.fsdecode(path))
            writes = event != "open" or (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"))
            allowed = self._allowed[:1] if writes else self._allowed
            if not real.startswith(allowed):
                raise OutsideError(f"{event} {real}")

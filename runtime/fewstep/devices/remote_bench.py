"""`fewstep bench BUNDLE --device ssh://...`: the bundle there, the figures back, and nothing left behind."""

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fewstep.bench.config import BenchConfig
from fewstep.bench.report import Report
from fewstep.bundle import Bundle
from fewstep.devices.environment import find_python, install
from fewstep.devices.ssh import ConnectionLostError, Remote
from fewstep.devices.transfer import Item, far_failure, send
from fewstep.devices.wheel import thin_wheel
from fewstep.devices.workspace import Workspace
from fewstep.errors import FewstepError
from fewstep.manifest import MANIFEST_NAME
from fewstep.tensorrt.derive import source_variant

OnStage = Callable[[str, int, int], None]
"""(what is going on, how much of it is done, how much there is; 0 of 0 where nobody knows)"""
_BUNDLE = "bundle"


@dataclass(frozen=True)
class Patience:
    """What is done about a lost connection.

    Args:
        pauses: seconds before every new attempt of the transfer; their number is that of the attempts.
        grace: seconds after which the board removes what came so far, if none of them succeeds.
    """

    pauses: tuple[float, ...] = (1.0, 5.0, 15.0)
    grace: float = 60.0

    def __post_init__(self) -> None:
        if self.grace <= sum(self.pauses):
            raise FewstepError(
                f"expected a time of grace above the {sum(self.pauses):g} s of all attempts, found {self.grace:g} s"
            )


def bench_on(
    remote: Remote,
    config: BenchConfig,
    on_stage: OnStage = lambda _what, _done, _total: None,
    patience: Patience = Patience(),
) -> Report:
    """The report of the same benchmark run on the board; the bundle, the runtime and its environment are gone from there afterwards.

    Raises:
        FewstepError: the bundle is wrong, the board cannot be reached or cannot do its part; one sentence each.
    """
    bundle = Bundle.open(config.bundle)
    on_stage(f"connecting to {remote.address}", 0, 0)
    python = find_python(remote)
    with Workspace(remote, patience.grace) as workspace, tempfile.TemporaryDirectory() as here:
        wheel, content = thin_wheel()
        Path(here, wheel).write_bytes(content)
        items = [item_of(Path(here, wheel), wheel), *bundle_items(bundle, _needed(bundle, config))]
        _send(remote, workspace, python, items, on_stage, patience)
        on_stage("installing the runtime on the board", 0, 0)
        there = install(remote, workspace, python, wheel)
        on_stage("measuring on the board", 0, 0)
        # ONNX Runtime writes a file of its own below the home folder.
        home = ["env", f"HOME={workspace.folder}", f"XDG_CACHE_HOME={workspace.folder}/.cache"]
        words = [*home, there, "-m", "fewstep", "bench", f"{workspace.folder}/{_BUNDLE}", "--json", "-"]
        words += [*config.options(), "--timeout", str(config.timeout)]
        done = remote.run(workspace.command(words), timeout=None)
        if done.returncode:
            raise far_failure(remote.address, done.stderr)
    return Report.from_dict(json.loads(done.stdout) | {"command": _command(config)})


def _send(
    remote: Remote,
    workspace: Workspace,
    python: str,
    items: Sequence[Item],
    on_stage: OnStage,
    patience: Patience,
) -> None:
    """Sends, and after a lost connection sends the rest."""
    for pause in (*patience.pauses, None):
        try:
            if workspace.lost:
                workspace.renew()
            send(
                remote, python, workspace.folder, items, lambda done, total: on_stage("copying", done, total)
            )
            return
        except FewstepError as error:
            workspace.lost = workspace.lost or isinstance(error, ConnectionLostError)
            if not workspace.lost or pause is None:
                raise
        on_stage("the connection was lost; trying again", 0, 0)
        time.sleep(pause)


def _needed(bundle: Bundle, config: BenchConfig) -> Sequence[str]:
    """The variants whose files the board needs."""
    if config.engine == "tensorrt" and not config.variants:
        return (source_variant(bundle.manifest).name,)
    return config.variants


def bundle_items(bundle: Bundle, variants: Sequence[str]) -> Iterator[Item]:
    """The manifest, and the files of these variants, or all."""
    manifest = bundle.manifest
    yield item_of(bundle.root / MANIFEST_NAME, f"{_BUNDLE}/{MANIFEST_NAME}")
    wanted = set(manifest.files)
    if variants:
        wanted = {tokenizer.file for tokenizer in manifest.tokenizers}
        for name in variants:
            for component in manifest.variant(name).components.values():
                wanted |= set(manifest.files_of(component))
    for name, record in manifest.files.items():
        if name in wanted:
            yield Item(bundle.root / name, f"{_BUNDLE}/{name}", record.bytes, record.sha256)


def item_of(source: Path, path: str) -> Item:
    content = source.read_bytes()
    return Item(source, path, len(content), hashlib.sha256(content).hexdigest())


def _command(config: BenchConfig) -> str:
    """The command without the name of the board, which is nobody's business."""
    return f"{config.command()} --device ssh://..."

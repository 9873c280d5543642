"""Exports that are killed, run out of disk, lose their permission, meet another, or whose checkpoint changes: what is there afterwards.

    OMP_WAIT_POLICY=PASSIVE unshare -m python benchmarks/reliability/export_faults.py --what kill --trials 10 --seed 0

Needs Linux and root, for disks of its own (tmpfs, in a mount namespace of its own). One process imports torch, traces the graphs of the tests'
tiny checkpoint, and is forked for every trial; the fork is what is killed, by SIGKILL, at a random moment or at a random operation on files. So a
trial is what an export does after tracing: every file that it writes, verification, .ort builds, pictures. (`changed` traces in every trial.) Outcomes are counted and added to results/reliability.json:

- the place holds nothing, the older bundle or the new one, each whole by its SHA-256; anything else is counted as `broken`;
- an export that could not finish ended with one sentence and exit code 2, or by the signal; anything else is counted as `unclear`;
- the same export again finishes, and leaves nothing but the bundle; else `stuck`.
"""

import argparse
import ctypes
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import onnx
import torch
from faults import EVENTS
from record import conclude
from tests.export.conftest import save_tokenizer, tiny_checkpoint, tiny_text_encoder

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.guard import guarded
from fewstep_export.checkpoints.native import build_native
from fewstep_export.components import Component, Feeds, Generator
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export_generator
from fewstep_export.fixed_inputs import fixed_cases
from fewstep_export.onnx_export import ExportedComponent
from fewstep_export.targets import build

OLD_STEPS, NEW_STEPS = 2, 3


def config_of(output: Path, steps: int) -> ExportConfig:
    """A small export: one precision, whose .ort files are built too."""
    return ExportConfig("tiny", output, precisions=("fp32",), steps=steps)


def start(work: Callable[[], object], note: Path | None = None) -> int:
    """Forks a process that does the work as the command does it: a refusal is a sentence in `note` and exit code 2."""
    child = os.fork()
    if child:
        return child
    code, said = 1, io.StringIO()
    try:
        with redirect_stderr(said):
            guarded(work)
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is counted
        said.write(f"Traceback {type(error).__name__}: {error}")
    finally:
        if note:
            note.write_text(said.getvalue())
        os._exit(code)


def ended(child: int) -> int:
    """The exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def at_operation(n: int, act: Callable[[], None]) -> None:
    """Acts when this process does its n-th operation on files."""
    left = [n]

    def hook(event: str, _arguments: object) -> None:
        if event in EVENTS:
            left[0] -= 1
            if left[0] == 0:
                act()

    sys.addaudithook(hook)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def operations(generator: Generator, folder: Path) -> tuple[int, float]:
    """How many operations on files an export does, and how many seconds it takes."""
    reader, writer = os.pipe()

    def work() -> None:
        count = [0]
        sys.addaudithook(lambda event, _: count.__setitem__(0, count[0] + (event in EVENTS)))
        export_generator(generator, config_of(folder / "count.fewstep", NEW_STEPS))
        os.write(writer, str(count[0]).encode())

    begin = time.monotonic()
    assert ended(start(work)) == 0, "the export does not work at all"
    return int(os.read(reader, 20)), time.monotonic() - begin


def state(output: Path) -> str:
    """What is at the place: "none", "old", "new" or "broken"."""
    if not output.exists():
        return "none"
    try:
        bundle = Bundle.open(output)
        bundle.verify()
    except (FewstepError, OSError):
        return "broken"
    return "old" if bundle.manifest.sampling.steps == OLD_STEPS else "new"


def tidy(folder: Path) -> bool:
    """Whether nothing but the bundle is left."""
    return [path.name for path in folder.iterdir()] in ([], ["x.fewstep"])


def finishes(generator: Generator, output: Path) -> bool:
    code = ended(start(lambda: export_generator(generator, config_of(output, NEW_STEPS))))
    return code == 0 and state(output) == "new" and tidy(output.parent)


def with_old(old: Path, folder: Path, there: bool) -> Path:
    """The place of the export, with the older bundle or empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if there:
        shutil.copytree(old, folder / "x.fewstep")
    return folder / "x.fewstep"


def kill(generator: Generator, old: Path, folder: Path, trials: int, dice: random.Random) -> Counter[str]:
    """Kills at a random moment and at a random operation, in turn, with and without an older bundle."""
    counts: Counter[str] = Counter()
    total, seconds = operations(generator, Path(tempfile.mkdtemp(dir=folder)))
    for trial in range(trials):
        output = with_old(old, folder / "place", trial % 4 < 2)
        if trial % 2:
            n = dice.randrange(1, total + 1)

            def work(n: int = n, output: Path = output) -> None:
                at_operation(n, kill_self)
                export_generator(generator, config_of(output, NEW_STEPS))

            code = ended(start(work))
        else:
            child = start(lambda output=output: export_generator(generator, config_of(output, NEW_STEPS)))
            time.sleep(dice.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
            code = ended(child)
        found = state(output)
        counts["trials"] += 1
        counts["killed"] += code == -signal.SIGKILL
        counts[f"found {found}"] += 1
        counts["broken"] += found == "broken" or (trial % 4 < 2 and found == "none")
        counts["stuck"] += not finishes(generator, output)
    return counts


def disk(folder: Path, size: int) -> Path:
    """A disk of so many bytes."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    return folder


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=True)


def full(generator: Generator, old: Path, folder: Path, trials: int, dice: random.Random) -> Counter[str]:
    """Disks that are too small for the new bundle, from almost nothing to almost enough; then the disk grows."""
    counts: Counter[str] = Counter()
    size = sum(path.stat().st_size for path in old.rglob("*") if path.is_file())
    for trial in range(trials):
        room = disk(folder / "disk", 64 << 20)
        output = room / "x.fewstep"
        there = trial % 2 == 0
        if there:
            shutil.copytree(old, output)
        limit = int(size * (there + (trial + dice.random()) / trials))
        subprocess.run(["mount", "-o", f"remount,size={limit}", str(room)], check=True)
        found_code = refused(generator, output, folder / "note", counts)
        found = state(output)
        counts["trials"] += 1
        counts["finished"] += found_code == 0
        counts[f"found {found}"] += 1
        counts["broken"] += found == "broken" or (there and found == "none") or not tidy(room)
        subprocess.run(["mount", "-o", "remount,size=64m", str(room)], check=True)
        counts["stuck"] += not finishes(generator, output)
        unmount(room)
    return counts


def permission(
    generator: Generator, old: Path, folder: Path, trials: int, dice: random.Random
) -> Counter[str]:
    """The folder of the bundle becomes read-only at a random operation; then it may be written again."""
    counts: Counter[str] = Counter()
    total, _ = operations(generator, Path(tempfile.mkdtemp(dir=folder)))
    for trial in range(trials):
        there = trial % 2 == 0
        output = with_old(old, folder / "place", there)
        n = dice.randrange(1, total + 1)

        def work(n: int = n, output: Path = output) -> None:
            without_powers()
            at_operation(n, lambda: output.parent.chmod(0o500))
            export_generator(generator, config_of(output, NEW_STEPS))

        code = refused(generator, output, folder / "note", counts, work)
        found = state(output)
        counts["trials"] += 1
        counts["finished"] += code == 0
        counts[f"found {found}"] += 1
        counts["broken"] += found == "broken" or (there and found == "none")
        output.parent.chmod(0o700)
        counts["stuck"] += not finishes(generator, output)
    return counts


def without_powers() -> None:
    """Takes the capabilities of root from this process, so that permissions hold for it too: capset(2) with none."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def refused(
    generator: Generator,
    output: Path,
    note: Path,
    counts: Counter[str],
    work: Callable[[], object] | None = None,
) -> int:
    """Runs an export that may fail; one that fails must say why in one sentence."""
    code = ended(start(work or (lambda: export_generator(generator, config_of(output, NEW_STEPS))), note))
    said = [line for line in note.read_text().splitlines() if line.strip()] if note.exists() else []
    counts["one sentence and code 2"] += code == 2 and len(said) == 1
    if code not in (0, 2) or (code == 2 and len(said) != 1):
        counts["unclear"] += 1
        print("unclear:", code, said[-3:], file=sys.stderr)
    return code


def two(generator: Generator, old: Path, folder: Path, trials: int, dice: random.Random) -> Counter[str]:
    """Two exports of different options to one place, the second somewhat later."""
    counts: Counter[str] = Counter()
    _, seconds = operations(generator, Path(tempfile.mkdtemp(dir=folder)))
    for trial in range(trials):
        output = with_old(old, folder / "place", trial % 2 == 0)
        first = start(
            lambda output=output: export_generator(generator, config_of(output, NEW_STEPS)), folder / "first"
        )
        time.sleep(dice.uniform(0, seconds))
        second = start(
            lambda output=output: export_generator(generator, config_of(output, NEW_STEPS + 1)),
            folder / "second",
        )
        codes = ended(first), ended(second)
        said = (folder / "second").read_text()
        counts["trials"] += 1
        counts["the second refused"] += codes == (0, 2) and "expected nobody else to write" in said
        counts["both finished"] += codes == (0, 0)
        counts["unclear"] += codes not in ((0, 2), (0, 0))
        counts["broken"] += state(output) != "new" or not tidy(folder / "place")
    return counts


def changed(generator: Generator, old: Path, folder: Path, trials: int, dice: random.Random) -> Counter[str]:
    """The weights of a diffusers folder are replaced at a random moment of its export."""
    from tests.scripts import load_script

    from fewstep_export.exporter import export

    counts: Counter[str] = Counter()
    cases = load_script(ROOT / "tests/export/checkpoints/tiny_pipelines.py")
    source = cases.CASES["sd1"].build(Path(tempfile.mkdtemp(dir=folder)))
    weights = next(source.glob("unet/*.safetensors"))
    first = weights.read_bytes()
    second = first[:-64] + bytes(64)

    def work(output: Path) -> Callable[[], object]:
        return lambda: export(ExportConfig(str(source), output, precisions=("fp32",), steps=2))

    def digests(output: Path) -> tuple[str, str]:
        manifest = Bundle.open(output).manifest
        return manifest.provenance.checkpoint_sha256, manifest.files["ort/fp32/denoiser.onnx"].sha256

    right = set()
    seconds = 0.0
    for content in (first, second):
        weights.write_bytes(content)
        shutil.rmtree(folder / "right", ignore_errors=True)
        (folder / "right").mkdir()
        begin = time.monotonic()
        assert ended(start(work(folder / "right" / "x.fewstep"))) == 0
        seconds = time.monotonic() - begin
        right.add(digests(folder / "right" / "x.fewstep"))
    for _ in range(trials):
        weights.write_bytes(first)
        shutil.rmtree(folder / "place", ignore_errors=True)
        (folder / "place").mkdir()
        output = folder / "place" / "x.fewstep"
        child = start(work(output), folder / "note")
        time.sleep(dice.uniform(0, seconds))
        weights.write_bytes(second)
        code = ended(child)
        counts["trials"] += 1
        said = [line for line in (folder / "note").read_text().splitlines() if line.strip()]
        counts["one sentence and code 2"] += code == 2 and len(said) == 1
        if code == 2 and "expected the checkpoint to stay as it was" not in said[-1]:
            counts["of these another sentence"] += 1
            print("said:", said[-1][:500], file=sys.stderr)
        counts["finished"] += code == 0
        counts["unclear"] += code not in (0, 2) or (code == 2 and len(said) != 1)
        counts["broken"] += output.exists() and digests(output) not in right
        counts["stuck"] += code != 0 and (ended(start(work(output))) != 0 or digests(output) not in right)
    return counts


def trace_once(generator: Generator, cache: Path) -> None:
    """Traces the graphs, which writes no file and takes 97 % of the time of so small an export, once for all forks and runs."""
    trace = build.export_component
    if not cache.is_dir():
        cases = fixed_cases(generator, generator.sampling.table())
        cache.mkdir(parents=True)
        for c in generator.components:
            onnx.save(trace(c, cases[c.name][0].feeds).model, cache / f"{c.name}.onnx")
    traced = {
        c.name: ExportedComponent(c, onnx.load(cache / f"{c.name}.onnx"), None) for c in generator.components
    }

    def export_component(component: Component, feeds: Feeds) -> ExportedComponent:
        same = any(component is known for known in generator.components)
        return traced[component.name] if same else trace(component, feeds)

    build.export_component = export_component  # type: ignore[assignment]


FAULTS = {fault.__name__: fault for fault in (kill, full, permission, two, changed)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", choices=list(FAULTS), required=True)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="folder where traced graphs are kept for the next run")
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        tokenizer = save_tokenizer(folder / "tokenizer.json")
        generator = build_native(tiny_checkpoint(), "0" * 64, tiny_text_encoder(), tokenizer)
        if options.what != "changed":
            trace_once(generator, options.cache or folder / "traced")
            old = folder / "old.fewstep"
            assert ended(start(lambda: export_generator(generator, config_of(old, OLD_STEPS)))) == 0
        counts = FAULTS[options.what](
            generator, folder / "old.fewstep", folder, options.trials, random.Random(options.seed)
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    conclude("export", options.what, counts, keep=not options.no_record)


if __name__ == "__main__":
    main()

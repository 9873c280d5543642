"""The commands `fewstep export` and `fewstep quantize` as a user starts them, killed or with a clock that jumps: what is there afterwards.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/reliability/command_faults.py --what export --trials 8
    OMP_WAIT_POLICY=PASSIVE python benchmarks/reliability/command_faults.py --what quantize --trials 20
    OMP_WAIT_POLICY=PASSIVE python benchmarks/reliability/command_faults.py --what clock --trials 8

`export_faults.py` forks one process that has torch, and so tries many moments; here every trial is a process of its own, from the first import
to the last rename, on a tiny Stable Diffusion with random weights.

- export, quantize: SIGKILL, in turn at a random moment and at a random operation on files; then the same command again.
- clock: libfaketime (`apt-get install faketime`) gives the command a clock that jumps at a random moment by an hour, ten years or to before 1970,
  forwards or back. Times of files are the true ones, as they are when a real clock is set.

Outcomes are those of `export_faults.py`: **broken**, **unclear**, **stuck** are what must not be. Adds to results/reliability.json.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from record import conclude
from tests.scripts import load_script

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError

LIBRARY = "libfaketime.so.1"
JUMPS = ("+1h", "-1h", "+3650d", "-3650d", "-20900d")  # the last is before 1970
_AT_OPERATION = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from faults import EVENTS
left = [int(sys.argv.pop(1))]
def hook(event, _):
    if event in EVENTS:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from fewstep.__main__ import main
try:
    main()
finally:
    if left[0] < 0:
        os.write(2, f"operations {{-left[0]}}\\n".encode())
"""


@dataclass(frozen=True)
class Command:
    """Words of the command, its output folder, and whether a bundle there is what it gives."""

    words: Sequence[object]
    output: Path
    is_new: Callable[[Bundle], bool]

    def start(
        self, first: Sequence[object] = ("-m", "fewstep"), **environment: str
    ) -> "subprocess.Popen[str]":
        """The process."""
        words = [sys.executable, *map(str, first), *map(str, self.words)]
        return subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | environment
        )

    def found(self) -> str:
        """What is at the place: "none", "old", "new" or "broken"."""
        if not self.output.exists():
            return "none"
        try:
            bundle = Bundle.open(self.output)
            bundle.verify()
        except (FewstepError, OSError):
            return "broken"
        return "new" if self.is_new(bundle) else "old"

    def finishes(self) -> bool:
        """Whether the same command again makes the bundle and leaves nothing beside it."""
        process = self.start()
        process.communicate()
        beside = [path.name for path in self.output.parent.iterdir()]
        return process.returncode == 0 and self.found() == "new" and beside == [self.output.name]

    def measured(self) -> tuple[float, int]:
        """Seconds that it takes, and operations on files that it does, from where there is no or the old bundle."""
        begin = time.monotonic()
        process = self.start(("-c", _AT_OPERATION, 0))
        _, said = process.communicate()
        assert process.returncode == 0, said
        return time.monotonic() - begin, int(said.rpartition("operations ")[2])


def killed(
    command: Command, prepare: Callable[[bool], None], trials: int, dice: random.Random
) -> Counter[str]:
    """Kills at a random moment and at a random operation, in turn."""
    counts: Counter[str] = Counter()
    prepare(True)
    seconds, operations = command.measured()
    for trial in range(trials):
        there = trial % 4 < 2
        prepare(there)
        before = command.found()
        if trial % 2:
            process = command.start(("-c", _AT_OPERATION, dice.randrange(1, operations + 1)))
        else:
            process = command.start()
            time.sleep(dice.uniform(0, seconds))
            process.send_signal(signal.SIGKILL)
        process.communicate()
        found = command.found()
        counts["trials"] += 1
        counts["killed"] += process.returncode == -signal.SIGKILL
        counts[f"found {found}"] += 1
        counts["broken"] += found not in (before, "new")
        counts["stuck"] += not command.finishes()
    return counts


def clock(
    command: Command, prepare: Callable[[bool], None], trials: int, dice: random.Random
) -> Counter[str]:
    """The clock jumps at a random moment; the command must finish as if it had not, and once more."""
    counts: Counter[str] = Counter()
    prepare(False)
    seconds, _ = command.measured()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "now"
        faked = {
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        for trial in range(trials):
            prepare(trial % 2 == 0)
            file.write_text("+0")
            process = command.start(**faked)
            time.sleep(dice.uniform(0, seconds))
            file.write_text(JUMPS[trial % len(JUMPS)])
            _, said = process.communicate()
            found = command.found()
            counts["trials"] += 1
            counts["finished"] += process.returncode == 0
            counts[f"found {found}"] += 1
            counts["broken"] += found != "new"
            if process.returncode != 0:
                counts["unclear"] += 1
                print("unclear:", process.returncode, said[-500:], file=sys.stderr)
            counts["stuck"] += not command.finishes()
    return counts


def _library() -> str:
    """Where Debian puts it."""
    found = sorted(Path("/usr/lib").glob(f"*/faketime/{LIBRARY}"))
    if not found:
        sys.exit(f"expected {LIBRARY}, found none; apt-get install faketime")
    return str(found[0])


def export_command(source: Path, output: Path, steps: int = 3) -> Command:
    """`fewstep export` of so many steps."""
    words = ["export", source, "-o", output, "--precision", "fp32", "--steps", steps]
    return Command(words, output, lambda bundle: bundle.manifest.sampling.steps == steps)


def quantize_command(prompts: Path, place: Path) -> Command:
    """`fewstep quantize` to eight-bit weights."""
    prompts.write_text("a red heart\na star\n")
    words = [
        "quantize",
        place / "x.fewstep",
        "--scheme",
        "w8",
        "--force",
        "--prompts",
        prompts,
        "--rounds",
        1,
    ]
    return Command(
        words, place / "x.fewstep", lambda bundle: any(v.name == "w8" for v in bundle.manifest.variants)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", choices=["export", "quantize", "clock"], required=True)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    place = folder / "place"
    try:
        source = (
            load_script(ROOT / "tests/export/checkpoints/tiny_pipelines.py")
            .CASES["sd1"]
            .build(folder / "sd1")
        )
        old = folder / "old.fewstep"
        export_command(source, old, steps=2).measured()

        def prepare(there: bool) -> None:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            if there or options.what == "quantize":
                shutil.copytree(old, place / "x.fewstep")

        command = (
            quantize_command(folder / "prompts.txt", place)
            if options.what == "quantize"
            else export_command(source, place / "x.fewstep")
        )
        trial = clock if options.what == "clock" else killed
        counts = trial(command, prepare, options.trials, random.Random(options.seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    conclude("commands", options.what, counts, keep=not options.no_record)


if __name__ == "__main__":
    main()

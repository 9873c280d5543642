"""Fuzzes the readers of a bundle: how many inputs were tried, and what went wrong.

    python benchmarks/reliability/fuzz.py --seconds 30                       # every target, mutations of the corpus
    python benchmarks/reliability/fuzz.py --engine atheris --seconds 30      # guided by coverage, which grows the corpus

Each target runs in a process of its own with 1 GB of memory above its start, a time limit for every input, and a fence around its folder.
Inputs of the first engine follow from the seed and the number of the input alone. Adds to results/reliability.json; run it again for more
inputs, with another seed. A finding ends as a file in findings/ beside this script, and as exit code 1.
"""

import argparse
import base64
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from fuzz_mutate import mutated
from fuzz_targets import MEMORY, SECONDS, TARGETS, Fence, refused
from record import add_counts
from seeds import seeds_of

CORPUS = Path(__file__).parent / "corpus"
FINDINGS = Path(__file__).parent / "findings"


def inputs_of(name: str) -> list[bytes]:
    """The seeds of a target and what its corpus holds."""
    return [*seeds_of(name), *kept(name)]


def kept(name: str) -> list[bytes]:
    """The corpus of a target: a list of texts in base64."""
    file = CORPUS / f"{name}.json"
    return [base64.b64decode(text) for text in json.loads(file.read_text())] if file.is_file() else []


def fuzz(name: str, seed: int, seconds: float, tries: int, report: Any) -> None:
    """Tries mutations of the corpus until the time or the tries are over; tells of [inputs, accepted] as it goes, and of a finding."""
    target, corpus = TARGETS[name], inputs_of(name)
    temporary = tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    folder = Path(temporary) / "x"
    fence = Fence(Path(temporary))
    limit_memory()
    signal.signal(signal.SIGALRM, _too_long)
    end, done, accepted, data = time.monotonic() + seconds, 0, 0, b""
    try:
        while time.monotonic() < end and done < tries:
            random = Random(f"{name} {seed} {done}")
            data = corpus[done] if done < len(corpus) else mutated(random.choice(corpus), random)
            if not folder.is_dir() or next(folder.iterdir(), None):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            signal.alarm(SECONDS)
            fence.up = True
            accepted += not refused(partial(target, data, folder))
            fence.up = False
            signal.alarm(0)
            assert [p.name for p in Path(temporary).iterdir()] == ["x"], (
                "something was written outside the folder"
            )
            done += 1
            if done % 100 == 0:
                report["inputs"], report["accepted"] = done, accepted
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is a finding
        fence.up = False
        FINDINGS.mkdir(exist_ok=True)
        path = FINDINGS / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        report["finding"] = f"{type(error).__name__}: {error}"[:500]
    finally:
        signal.alarm(0)
        shutil.rmtree(temporary, ignore_errors=True)
    report["inputs"], report["accepted"] = done, accepted
    report["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit_memory() -> None:
    """Allows this process `MEMORY` more address space than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _too_long(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def guided(name: str, seconds: int, report: dict[str, Any]) -> None:
    """Runs atheris in a process of its own; new inputs that reach new code go into the corpus."""
    script, found = Path(__file__).with_name("fuzz_guided.py"), Path(tempfile.mkdtemp(prefix="corpus-"))
    for k, data in enumerate(inputs_of(name)):
        (found / f"seed-{k}").write_bytes(data)
    FINDINGS.mkdir(exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={SECONDS}",
        "-rss_limit_mb=2048",
        "-max_len=20000",
        "-print_final_stats=1",
    ]
    command = [
        sys.executable,
        str(script),
        name,
        str(found),
        *options,
        f"-artifact_prefix={FINDINGS}/{name}-",
    ]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | {"RUST_BACKTRACE": "0"}
    )
    numbers = dict(
        line.removeprefix("stat::").split(":", 1)
        for line in done.stderr.splitlines()
        if line.startswith("stat::")
    )
    report["inputs"] = int(numbers.get("number_of_executed_units", "0"))
    report["peak_bytes"] = int(numbers.get("peak_rss_mb", "0")) << 20
    if done.returncode:
        report["finding"] = done.stderr[-1500:]
    _keep_small(found, name)
    shutil.rmtree(found)


def _keep_small(found: Path, name: str) -> None:
    """The smallest of the new inputs, at most 40 of a target and 2 kB each: enough to begin from, little enough to commit."""
    new = {path.read_bytes() for path in found.iterdir() if not path.name.startswith("seed-")}
    old = kept(name)
    small = sorted((data for data in new - set(old) if len(data) <= 2000), key=lambda data: (len(data), data))
    texts = [base64.b64encode(data).decode() for data in [*old, *small[: max(0, 40 - len(old))]]]
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / f"{name}.json").write_text(json.dumps(texts, indent=0) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=["mutations", "atheris"], default="mutations")
    parser.add_argument("--target", action="append", choices=list(TARGETS))
    parser.add_argument("--seconds", type=int, default=30, help="for each target")
    parser.add_argument("--tries", type=int, default=10**9, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    wrong = 0
    for name in options.target or TARGETS:
        manager = multiprocessing.Manager()
        report = manager.dict()
        begin = time.monotonic()
        if options.engine == "atheris":
            guided(name, options.seconds, report)  # type: ignore[arg-type]
        else:
            arguments = (name, options.seed, options.seconds, options.tries, report)
            process = multiprocessing.Process(target=fuzz, args=arguments)
            process.start()
            process.join()
            if process.exitcode:
                report["finding"] = (
                    f"the process ended with {process.exitcode} after {report.get('inputs')} inputs"
                )
        found = dict(report)
        wrong += "finding" in found
        print(name, f"{time.monotonic() - begin:.0f} s", found, flush=True)
        if not options.no_record:
            add_counts(["fuzz", options.engine, name], found)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()

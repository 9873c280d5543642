"""The runtime under want: memory over many generations, too little address space, eight threads.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/reliability/runtime_faults.py --what growth --bundle out/emoji-128.fewstep --pictures 1000
    OMP_WAIT_POLICY=PASSIVE python benchmarks/reliability/runtime_faults.py --what memory --bundle out/emoji-128.fewstep --trials 20

- growth: the resident set after the first tenth of the pictures, and at the end; the aim is at most 1 % more.
- memory: `fewstep generate` with less and less address space (ulimit -v), from what it needs to nothing. It must draw, or end with one sentence and
  exit code 2; counted apart are a Python traceback, a death by signal, and Python's own death before fewstep began.
- threads: eight threads share a pipeline; every picture must have the bits that it has alone.

Adds to results/reliability.json.
"""

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from record import record

from fewstep.pipeline import Pipeline

PROMPT = "a red heart"


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def growth(options: argparse.Namespace) -> Mapping[str, Any]:
    """Memory over many pictures of different prompts, seeds, step counts and batch sizes."""
    pipeline = Pipeline(options.bundle, options.variant, threads=1)
    prompts = pipeline.manifest.prompts.examples or (PROMPT,)
    tables = [pipeline.bundle.step_table(steps, "flow-euler") for steps in (1, 2)]
    marks, begin = [], time.monotonic()
    for k in range(options.pictures):
        pipeline.generate(prompts[k % len(prompts)], k, tables[k % 2], guidance=1.0 + k % 3)
        if (k + 1) % (options.pictures // 10) == 0:
            marks.append(resident())
    return {
        "pictures": options.pictures,
        "variant": pipeline.variant.name,
        "resident_bytes": marks,
        "growth": round(marks[-1] / marks[0] - 1, 5),
        "largest_growth": round(max(marks) / marks[0] - 1, 5),
        "seconds": round(time.monotonic() - begin, 1),
    }


def memory(options: argparse.Namespace) -> Mapping[str, Any]:
    """The command with less and less address space."""
    words = [
        sys.executable,
        "-m",
        "fewstep",
        "generate",
        str(options.bundle),
        PROMPT,
        "--steps",
        "1",
        "--threads",
        "1",
    ]
    words += ["-o", "/dev/null", *(["--variant", options.variant] if options.variant else [])]
    most = _needed(words)
    counts, limits = Counter[str](), {}
    for trial in range(options.trials):
        limit = most * (options.trials - trial) // options.trials
        done = _limited(words, limit)
        outcome = _outcome(done)
        counts[outcome] += 1
        limits[f"{limit >> 20} MiB"] = outcome
    return {"trials": options.trials, "drawn_with_bytes": most, **counts, "by_limit": limits}


def _needed(words: list[str]) -> int:
    """About the least address space with which the command draws, found by halving to 64 MiB."""
    low, high = 0, 16 << 30
    while high - low > 64 << 20:
        middle = (low + high) // 2
        low, high = (low, middle) if _limited(words, middle).returncode == 0 else (middle, high)
    return high


def _limited(words: list[str], limit: int) -> "subprocess.CompletedProcess[str]":
    def limit_self() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    return subprocess.run(
        words, preexec_fn=limit_self, capture_output=True, text=True, check=False, timeout=120
    )


def _outcome(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip() and "are not available" not in line]
    if done.returncode == 0:
        return "drawn"
    if done.returncode == 2 and len(lines) == 1 and lines[0].startswith("fewstep: "):
        return "one sentence and code 2"
    print(done.returncode, lines[-3:], file=sys.stderr)
    if done.returncode < 0 or done.returncode in (134, 139):
        return "killed by a signal"
    return "before fewstep began" if "fewstep/" not in done.stderr else "traceback"


def threads(options: argparse.Namespace) -> Mapping[str, Any]:
    """Eight threads and one pipeline."""
    pipeline = Pipeline(options.bundle, options.variant, threads=1)
    table = pipeline.bundle.step_table(2, "flow-euler")

    def draw(k: int) -> str:
        return hashlib.sha256(pipeline.generate(PROMPT, k, table).tobytes()).hexdigest()

    alone = [draw(k) for k in range(options.pictures)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(draw, range(options.pictures)))
    same = sum(a == b for a, b in zip(alone, together, strict=True))
    return {"threads": 8, "pictures": options.pictures, "the same bits as alone": same}


WHAT = {what.__name__: what for what in (growth, memory, threads)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", choices=list(WHAT), required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--variant")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    figures = WHAT[options.what](options)
    print(json.dumps(figures, indent=1))
    if not options.no_record:
        record(["runtime", options.what], figures)


if __name__ == "__main__":
    main()

"""A variant in a process of its own: how long it loads, how long its first picture takes, how much memory it needs.

Only a fresh process tells these: a second variant in the same one would find warm libraries and add its memory to that
of the first.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import fewstep
from fewstep.bench.memory import PeakMemory, peak_memory
from fewstep.errors import FewstepError
from fewstep.records import from_json, to_json


@dataclass(frozen=True)
class ColdStart:
    """Seconds to load a variant (hashes checked, sessions made), seconds of its first picture, peak memory after it."""

    load: float
    first_picture: float
    peak_memory: PeakMemory


@dataclass(frozen=True)
class Task:
    """What the fresh process does: steps, sampler and guidance as for `BenchConfig`, or a step table of the bundle by name."""

    bundle: str
    variant: str
    threads: int
    prompt: str
    seed: int
    steps: int | None = None
    sampler: str | None = None
    guidance: float | None = None
    step_table: str | None = None
    engine: str | None = None


def cold_start(task: Task, timeout: float) -> ColdStart:
    """Does the task in a new interpreter and waits at most `timeout` seconds for it.

    Raises:
        FewstepError: it took longer, or the process failed; the message is the process's own.
    """
    root = str(Path(fewstep.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "fewstep.bench.cold"],
            input=json.dumps(to_json(task)),
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FewstepError(
            f"expected a first picture within {timeout:g} s, found none, for variant '{task.variant}'; "
            "take fewer steps or a longer --timeout"
        ) from None
    if done.returncode:
        raise FewstepError(_last_line(done.stderr) or _died(task.variant, done.returncode))
    return from_json(ColdStart, json.loads(done.stdout), f"the answer of variant '{task.variant}'")


def perform(task: Task) -> ColdStart:
    """Does the task in this process.

    Raises:
        FewstepError: as `Pipeline` and `Pipeline.generate`.
    """
    begin = perf_counter()
    from fewstep.pipeline import Pipeline  # the engine's library is part of what a cold start waits for

    pipeline = Pipeline(task.bundle, task.variant, task.threads, engine=task.engine)
    table = task.step_table or pipeline.step_table(task.steps, task.sampler)
    loaded = perf_counter()
    pipeline.generate(task.prompt, task.seed, table, task.guidance)
    return ColdStart(loaded - begin, perf_counter() - loaded, peak_memory())


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def _died(variant: str, code: int) -> str:
    """A process that the system ends says nothing itself; memory is what it most often lacks."""
    return (
        f"expected variant '{variant}' to draw a picture, found that its process ended with code {code}; "
        "check that the device has memory enough"
    )


def _main() -> None:
    """Reads a task from standard input and writes the cold start to standard output, both as JSON."""
    try:
        result = perform(from_json(Task, json.load(sys.stdin), "task"))
    except FewstepError as error:
        sys.exit(str(error))
    print(json.dumps(to_json(result)))


if __name__ == "__main__":
    _main()

"""One pipeline in many threads, a pipeline after a fork, a run that is left in the middle."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep.loop import Array
from fewstep.pipeline import Pipeline, Timings

PROMPTS = ["a red heart", "a blue star", "a heart", "a star, flat style"]


def test_eight_threads_share_a_pipeline(tiny_bundle: Path) -> None:
    """Every picture has the bits that it has alone, and every thread the timings of its own."""
    pipeline = Pipeline(tiny_bundle, threads=1)
    tasks = [(PROMPTS[k % len(PROMPTS)], k, 1 + k % 5) for k in range(64)]

    def draw(task: tuple[str, int, int]) -> tuple[Array, Timings]:
        prompt, seed, steps = task
        table = pipeline.bundle.step_table(steps, "flow-euler")
        return pipeline.generate_array([prompt], [seed], table), pipeline.timings

    alone = [draw(task)[0] for task in tasks]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(draw, tasks))
    for task, right, (found, timings) in zip(tasks, alone, together, strict=True):
        np.testing.assert_array_equal(found, right)
        assert len(timings.calls["denoiser"]) == task[2]
        assert sum(map(sum, timings.calls.values())) <= timings.total


def test_a_run_that_is_left_in_the_middle_leaves_the_pipeline_whole(tiny_bundle: Path) -> None:
    pipeline = Pipeline(tiny_bundle)
    right = pipeline.generate_array(["a heart"], [5])

    def leave(i: int, _latents: Array) -> None:
        if i == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.generate_array(["a heart"], [5], on_step=leave)
    assert len(pipeline.timings.calls["denoiser"]) == 2
    np.testing.assert_array_equal(pipeline.generate_array(["a heart"], [5]), right)


def _child(pipeline: Pipeline, answer: Connection) -> None:
    try:
        pipeline.generate("a heart")
    except FewstepError as error:
        answer.send(str(error))


@pytest.mark.filterwarnings("ignore:.*use of fork")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_fork_is_told_to_make_its_own(tiny_bundle: Path, threads: int) -> None:
    """ONNX Runtime's threads do not go with a fork: with two of them the first call would wait for ever."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(Pipeline(tiny_bundle, threads=threads), there))
    process.start()
    try:
        assert here.poll(30), "the child hangs"
        assert "found a fork of it" in here.recv() and process.pid is not None
    finally:
        process.join(10)
        process.kill()


def test_more_threads_than_cores_draw_the_same(tiny_bundle: Path) -> None:
    one, many = (Pipeline(tiny_bundle, threads=n).generate_array(["a heart"], [5]) for n in (1, 64))
    np.testing.assert_allclose(one, many, atol=1e-5)


FORKED = """
import gc, os, sys
from fewstep.pipeline import Pipeline
Pipeline(sys.argv[1], threads=2).generate("a heart")  # nobody holds it, but it refers to itself
child = os.fork()
if child == 0:
    gc.collect()
    print("collected", flush=True)
    os._exit(0)  # as multiprocessing ends a fork; exit() would wait in ONNX Runtime's own global destructors
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_does_not_wait_for_the_sessions_that_it_throws_away(tiny_bundle: Path) -> None:
    words = [sys.executable, "-W", "ignore", "-c", FORKED, str(tiny_bundle)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, "collected\n"), done.stderr

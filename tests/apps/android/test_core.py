"""Loop, noise, tokenizer and pictures in Kotlin on the JVM: the golden files, and Python's picture."""

import json
from pathlib import Path

import numpy as np
from tests.apps.android import kotlin
from tests.apps.piped import drawn

from fewstep.bench.overview import rows_of
from fewstep.pipeline import Pipeline

TESTS = sorted(path.stem for path in kotlin.TESTS.glob("*Test.kt"))


def test_its_own_tests_pass(core: Path) -> None:
    said = kotlin.run(
        kotlin.command([core], "org.junit.runner.JUnitCore", *(f"fewstep.{name}" for name in TESTS))
    )
    assert "OK (9 tests)" in said


def test_it_draws_the_picture_of_python_and_its_report_is_read(
    core: Path, app_bundle: Path, tmp_path: Path
) -> None:
    prompt, seed, report = "a red heart, flat style", 2**64 - 3, tmp_path / "report.json"
    words = kotlin.command([core], "fewstep.PipedKt", str(app_bundle), prompt, str(seed), str(report))
    found = drawn(words, app_bundle, "fp32")
    expected = np.asarray(Pipeline(app_bundle, "fp32", threads=1).generate(prompt, seed))
    assert np.abs(found.astype(int) - expected).max() <= 1
    (row,) = rows_of(json.loads(report.read_text()), str(report), "phone")
    assert (row.device, row.build, row.engine) == ("a test (JVM, Kotlin)", "fp32", "pipe, 1 thread")
    assert row.first and row.step and len(row.sustained) >= 1

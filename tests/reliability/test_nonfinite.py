"""NaN is noticed at the step where it arises, and the FP32 graphs can take over."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fewstep.errors import FewstepError, NonFiniteError
from fewstep.pipeline import Pipeline

PROMPT = "a red heart"


def test_the_step_and_the_graph_are_named(broken_bundle: Path) -> None:
    """Timesteps of the default table are 1000, 900, 750 and 500: the third is the first below 800."""
    seen: list[int] = []
    with pytest.raises(
        NonFiniteError,
        match=r"found 256 NaN of 256 numbers, .* the denoiser at step 3 of 4 \(timestep 750\), variant 'half'",
    ):
        Pipeline(broken_bundle, "half").generate(PROMPT, on_step=lambda i, _x: seen.append(i))
    assert seen == [0, 1]


def test_fp32_takes_over_and_says_why(broken_bundle: Path) -> None:
    pipeline = Pipeline(broken_bundle, "half", on_nonfinite="fp32")
    picture = pipeline.generate(PROMPT, 3)
    assert picture.tobytes() == Pipeline(broken_bundle, "fp32").generate(PROMPT, 3).tobytes()
    assert pipeline.timings.fell_back is not None and "step 3 of 4" in pipeline.timings.fell_back
    assert pipeline.timings.total > 0 and len(pipeline.timings.calls["denoiser"]) == 4
    short = pipeline.bundle.step_table(1, "flow-euler")
    pipeline.generate(PROMPT, 3, short)  # its only timestep is 1000
    assert pipeline.timings.fell_back is None


def test_a_build_that_is_fp32_already_has_nothing_to_fall_back_to(tiny_bundle: Path) -> None:
    pipeline = Pipeline(tiny_bundle, on_nonfinite="fp32")
    with pytest.raises(NonFiniteError, match="at step 1 of 4"):
        pipeline.generate(PROMPT, guidance=1e39)
    with pytest.raises(FewstepError, match="expected --on-nonfinite fp32, found fp64"):
        Pipeline(tiny_bundle, on_nonfinite="fp64")


def test_a_failure_leaves_the_pipeline_as_it_was(tiny_bundle: Path) -> None:
    pipeline = Pipeline(tiny_bundle)
    before = pipeline.generate_array([PROMPT], [1])
    with pytest.raises(NonFiniteError):
        pipeline.generate_array([PROMPT], [1], guidance=1e39)
    np.testing.assert_array_equal(pipeline.generate_array([PROMPT], [1]), before)


def test_the_command_falls_back_or_refuses_in_one_sentence(broken_bundle: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fewstep", "generate", str(broken_bundle), PROMPT, "--variant", "half"]
    words += ["-o", str(tmp_path / "x.png"), "--json"]
    refused = subprocess.run(words, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "at step 3 of 4" in refused.stderr
    assert "Traceback" not in refused.stderr and not (tmp_path / "x.png").exists()
    done = subprocess.run([*words, "--on-nonfinite", "fp32"], capture_output=True, text=True, check=True)
    assert "drawn by the FP32 graphs" in done.stderr
    assert "step 3 of 4" in json.loads(done.stdout)["pictures"][0]["fell_back"]
